"""How a program runs in a restored environment: one value, from what is asked, here and known."""
