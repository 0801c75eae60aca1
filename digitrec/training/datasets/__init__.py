"""Loaders of labelled images."""
