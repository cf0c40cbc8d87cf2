"""Who runs what, when, and what became of it."""

__version__ = "0.1.0"
