"""Long-running tasks and the supervisor that owns them."""
