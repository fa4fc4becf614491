"""The vocabulary: frozen values, no I/O. Everything else speaks in these words."""
