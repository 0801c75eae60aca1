"""Synthetic digits, text lines and pages to train on."""
