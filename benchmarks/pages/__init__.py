"""Measure how much of a page that holds more than one digit is read, and how much of it is wrong."""
