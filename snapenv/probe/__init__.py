"""Look at one environment: the probe, and what carries it."""
