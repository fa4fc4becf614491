"""The programs that are sent to where an environment is: packed, run there, and their answers read.

``programs/`` holds them, each a package of its own that imports nothing of snapenv.
"""
