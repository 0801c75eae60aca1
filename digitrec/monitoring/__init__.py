"""Observe and maintain a workspace: status, doctor, verify, history, metrics, hooks."""
