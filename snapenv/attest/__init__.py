"""What is attached to an image in its registry: what is in it, what made it, and its proof."""
