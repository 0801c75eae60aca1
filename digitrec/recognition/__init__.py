"""Page image -> digits with probabilities."""
