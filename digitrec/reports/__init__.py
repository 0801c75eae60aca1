"""Figures and HTML reports of batches, trends and evaluations."""
