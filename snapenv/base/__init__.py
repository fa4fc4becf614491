"""Snapshot to base image, and why."""
