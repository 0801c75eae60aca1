"""Train, calibrate, compare and describe models."""
