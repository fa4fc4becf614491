"""What is known against packages: which advisories fit a version."""
