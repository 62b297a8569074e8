"""What `in` and `out` do to one hook: made, changed, switched, rotated, tried, looked back on (commands.md §2.2)."""
