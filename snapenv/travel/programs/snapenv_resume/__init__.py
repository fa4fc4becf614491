"""Continues an interrupted training of ultralytics from its checkpoint."""
