"""What brings an environment to life: docker-py and the venv engine."""
