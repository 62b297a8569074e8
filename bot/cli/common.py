"""What every command shares: reading the settings, opening the workspace, ending with one sentence."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click

from bot.compose import open_services
from bot.folder import Folder
from bot.services import Services
from bot.settings import Settings, SettingsFault, load
from handlers.errors import Fault
from storage.clock import SystemClock
from storage.errors import StorageError

T = TypeVar("T")

data_option = click.option(
    "--data", type=click.Path(file_okay=False, path_type=Path), help="Data folder; default PATCHBAY_DATA or ./data."
)


def fail(text: str) -> NoReturn:
    """End with exit code 1 and a sentence."""
    raise click.ClickException(text)


def settings(**options: Any) -> Settings:  # Any: each option has the type of its setting
    """Read the settings; options that were given win over the environment."""
    found = load({name: value for name, value in options.items() if value is not None})
    if isinstance(found, SettingsFault):
        fail(found.text)
    return found


def with_workspace(found: Settings, work: Callable[[Services], Awaitable[T]]) -> T:
    """Run some work on the workspace of a data folder, also beside a running server (decision 28)."""

    async def run() -> T:
        folder = Folder(found.data)
        if not folder.database.exists():
            fail(f"{folder.database} does not exist; start the server once with `patchbay serve`.")
        async with open_services(found, folder, SystemClock(), base_url=found.url(), serving=False) as (services, _):
            return await work(services)

    try:
        return asyncio.run(run())
    except StorageError as error:
        fail(str(error))


def checked(result: T | Fault) -> T:
    """Return what was done, or end with the sentence of the refusal."""
    if isinstance(result, Fault):
        fail(result.bracketed)
    return result
