"""Exports a model, runs it, and compares; travels to where the environment is."""
