"""How fast a training goes in an environment: measuring it, and what to try next."""
