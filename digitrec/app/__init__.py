"""Use cases of the program, each called by one command, and the composition root that chooses their implementations."""
