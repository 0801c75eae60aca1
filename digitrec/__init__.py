"""Drop scanned pictures of digits into a folder, get numbers you can trust."""

__version__ = "0.1.0"
