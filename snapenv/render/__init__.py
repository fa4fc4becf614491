"""Snapshot and base to files in memory: same input, same bytes."""
