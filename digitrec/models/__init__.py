"""A trained model as a folder: package, card, calibration, registry."""
