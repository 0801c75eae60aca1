"""Keeping it running: account, rebuilding, requeueing."""
