"""What only a machine with a GPU can tell: one prepared run, its record, and the tolerances of it.

``python -m tests.gpu pack`` packs what a machine without network lacks, ``run`` measures there and
writes a record, ``tolerances`` computes from all records what the tiers allow.
"""
