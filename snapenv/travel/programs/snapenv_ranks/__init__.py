"""Several ranks: a parent starts one process a device, and notices which of them is missing."""
