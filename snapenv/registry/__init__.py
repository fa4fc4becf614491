"""What registries say of their images: a few kB each, no layer is moved."""
