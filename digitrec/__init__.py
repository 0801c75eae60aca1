"""Drop scanned pictures of digits into a folder, get numbers you can trust."""

__version__ = "0.2.0.dev0"
