"""Canaries around a real environment: none of them may leave, whatever the program does."""
