"""The tests mirror snapenv/, plus engines/ (real parts) and end_to_end/."""
