"""Formatters: one module per dialect of senders, each ending with `FORMATTER`."""
