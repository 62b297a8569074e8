"""The running process: HTTP, workers, settings and wiring."""
