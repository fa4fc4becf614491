"""One file that holds an image with its snapshot: its form, writing it, reading it untrusted."""
