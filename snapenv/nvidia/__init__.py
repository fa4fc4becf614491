"""What NVIDIA publishes of its images, drivers and GPUs, as dated facts; and its own rules."""
