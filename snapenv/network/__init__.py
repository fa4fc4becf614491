"""HTTP requests to other machines: one session, one way to repeat them, one table of failures."""
