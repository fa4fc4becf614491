"""How to run a program where an environment lives."""
