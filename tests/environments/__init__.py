"""Real builds from the distribution's archive: slow, and they need the network. Marker: `build`."""
