"""A sheet of paper -> its digits, each with its scores: where imaging and the networks meet."""
