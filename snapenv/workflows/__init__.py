"""The order of the steps, each written once."""
