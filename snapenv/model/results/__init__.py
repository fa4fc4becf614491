"""What each command answers to programs: the fields are the keys of ``result`` with ``--json``.

Text and page are made of the same values, and the JSON Schemas are generated from them. None is
unknown, or does not apply. A command imports its own alone: each takes time at the start.
"""
