"""What belongs to this process alone: the places that it writes, and what must not outlive it.

A lock of the kernel (flock) says whether its owner lives: it ends with the process, however that
ends, and it means the same to processes of different containers that share a file system.
"""
