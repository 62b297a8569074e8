"""Test of the command reference in the README: it is written from the declarations, never by hand."""

from pathlib import Path

from handlers.command import load_commands
from handlers.reference import BEGIN, END, reference

README = Path(__file__).parents[2] / "README.md"


def test_readme_tells_every_command() -> None:
    """Between the two marker lines stands exactly what the declarations say."""
    _, found, rest = README.read_text("utf-8").partition(BEGIN)
    assert found, f"README.md lacks the line {BEGIN}"
    assert rest.partition(END)[0].strip() == reference(load_commands()).strip()
