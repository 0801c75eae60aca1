"""A folder as a queue: what lies there, when it is complete, whose it is."""
