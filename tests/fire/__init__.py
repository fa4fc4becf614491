"""Commands under fire: killed, cut off from power, without room, at the wrong time, many at once.

``python -m tests.fire`` does it to every command and prints counts; the suite does a sample.
"""
