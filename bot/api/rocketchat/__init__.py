"""Rocket.Chat REST: one module for each family of calls, on one table of calls."""
