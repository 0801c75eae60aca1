"""Bytes of a file -> decoded pages."""
