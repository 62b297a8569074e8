"""Clients people really use, each doing real work on a running server."""
