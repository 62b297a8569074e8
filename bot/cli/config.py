"""`patchbay config`: every setting, its value, where it came from."""

import click
from pydantic import SecretStr

from bot.cli.common import settings
from bot.settings import PREFIX, Settings, source

HIDDEN = "***"


@click.command()
def config() -> None:
    """Show every setting with its value (secrets hidden) and where it came from."""
    found = settings()
    rows = [(PREFIX + name.upper(), _shown(found, name), source(name, {})) for name in Settings.model_fields]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    for name, value, origin in rows:
        click.echo(f"{name:<{widths[0]}}  {value:<{widths[1]}}  {origin}")


def _shown(found: Settings, name: str) -> str:
    value = getattr(found, name)
    if value is None:
        return "-"
    if isinstance(value, SecretStr):
        return HIDDEN
    if isinstance(value, tuple):
        return ",".join(str(one) for one in value) or "-"
    return str(value) or "-"
