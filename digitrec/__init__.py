"""Read pictures of digits from a watched folder into CSVs and reports."""

__version__ = "0.2.0.dev0"
