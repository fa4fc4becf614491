"""Compare two environments, and two smoke-trains."""
