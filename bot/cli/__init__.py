"""The command line: serve, and everything an operator does beside a running server."""
