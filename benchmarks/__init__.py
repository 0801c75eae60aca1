"""What is measured, by commands anyone can run again: `make accuracy`, `make bench`."""
