"""How long it takes and how much memory: programs to be run by hand, for no machine is quiet."""
