"""Which way of making ink this version has."""

RECIPE: int = 1
"""Number of this way of making ink; a model remembers the one it was trained with, and no other version loads it."""
