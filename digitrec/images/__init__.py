"""Decode the bytes of a file into pages."""
