"""Fault injection with real processes: no file may be lost, none answered twice."""
