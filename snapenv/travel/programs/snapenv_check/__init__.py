"""Tell, inside an image, whether its environment still is the locked one."""
