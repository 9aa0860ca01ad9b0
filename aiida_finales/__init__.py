"""A materials acceleration platform as an AiiDA plugin."""

__version__ = "0.1.0"
