"""The figures of the main job: `make bench` measures them on this machine and prints one table."""
