"""Counting what runs use: the ledger, samples, prices, sums, estimates and the stop rule."""
