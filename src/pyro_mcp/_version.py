"""The one place that states the package's version; it is the catalog's version too."""

__version__ = "4.0.0"
