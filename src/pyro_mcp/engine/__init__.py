"""Use cases, one module per noun. What a caller may ask for is decided here; how a machine is run is decided below.

Above: `daemon/`, whose route table calls these. Below: `machines/`, and the stores in `state/` and `environments/`.
Everything runs on the daemon's event loop; slow work (building images) goes to threads.
"""
