"""The `patchbay` command."""

import os

from bot.cli import cli

OWNER_ONLY = 0o077
"""What is taken from the mode of every file and folder that is made, whatever the data folder's own mode."""


def main() -> None:
    """Run the command line."""
    os.umask(OWNER_ONLY)
    cli(prog_name="patchbay")


if __name__ == "__main__":
    main()
