"""Snapshot to base image, and why; the catalogue of NVIDIA's images is data."""
