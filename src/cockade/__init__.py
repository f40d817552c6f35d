"""cockade issues loyalty badges to customers in bulk, each exactly once."""

__version__ = "0.1.0"
