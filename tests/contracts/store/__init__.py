"""One suite for every storage engine, written against the ports."""
