"""`patchbay config`: every setting, its value, where it came from."""

import click
from pydantic import SecretStr

from bot.cli.common import json_option, settings
from bot.cli.output import masked, print_rows
from bot.settings import PREFIX, Settings, source

COLUMNS = ("name", "value", "source")


@click.command()
@json_option
def config(as_json: bool) -> None:
    """Show every setting, its value and its source.

    Secrets are hidden; a source is `environment` or `default`.
    """
    found = settings()
    rows = [
        {"name": PREFIX + name.upper(), "value": _shown(getattr(found, name)), "source": source(name, found, {})}
        for name in Settings.model_fields
    ]
    print_rows(rows, COLUMNS, as_json=as_json, empty="")


def _shown(value: object) -> object:
    match value:
        case SecretStr():
            return masked(value)
        case tuple():
            return [str(each) for each in value]
        case None | int() | float():
            return value
        case _:
            return str(value)
