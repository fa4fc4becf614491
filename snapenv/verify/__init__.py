"""Compare two looks at an environment, and two smoke-trains."""
