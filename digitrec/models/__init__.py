"""28 x 28 ink -> scores of the ten digits and of "no digit"."""
