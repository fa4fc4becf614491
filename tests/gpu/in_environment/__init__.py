"""What runs on the Python of the environment that is measured."""
