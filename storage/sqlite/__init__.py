"""The SQLite driver: one writer thread with group commit, readers beside it."""
