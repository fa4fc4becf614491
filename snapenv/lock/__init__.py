"""Facts to snapshot, and snapshots on disk."""
