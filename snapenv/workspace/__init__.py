"""What lies beside an environment while someone works in it, and what is told to clients of it."""
