"""Find what must not leave this machine."""
