"""The `patchbay` command."""

from bot.cli import cli


def main() -> None:
    """Run the command line."""
    cli(prog_name="patchbay")


if __name__ == "__main__":
    main()
