"""The probe: looks at an environment where it is, with its own Python, from 3.8 on."""
