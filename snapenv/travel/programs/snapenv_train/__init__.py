"""The smoke-train: trains YOLOv8 for a few steps with an environment's own Python, from 3.8 on."""
