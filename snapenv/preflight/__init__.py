"""Whether a machine can run an image, told before anything large moves."""
