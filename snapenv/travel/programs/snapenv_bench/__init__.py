"""Measures how fast a training goes; travels to where the environment is."""
