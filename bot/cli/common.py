"""What every command shares: reading the settings, opening the workspace, ending with one sentence."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click

from bot.cli.address import last_address
from bot.compose import judge_folder, open_services
from bot.folder import Folder
from bot.services import Services
from bot.settings import Settings, SettingsFault, load
from handlers.errors import Fault
from storage.clock import SystemClock
from storage.errors import StorageError
from storage.records.user import Role, User

T = TypeVar("T")

data_option = click.option(
    "--data", type=click.Path(file_okay=False, path_type=Path), help="Data folder; default PATCHBAY_DATA or ./data."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for a script.")


def fail(text: str) -> NoReturn:
    """End with exit code 1 and a sentence."""
    raise click.ClickException(text)


def settings(**options: Any) -> Settings:  # Any: each option has the type of its setting
    """Read the settings, once in a command: secrets are out of the environment then.

    Options that were given win over the environment.
    """
    given = {name: value for name, value in options.items() if value is not None}
    known: dict[frozenset[tuple[str, Any]], Settings] = click.get_current_context().meta.setdefault(__name__, {})
    asked = frozenset(given.items())
    if asked not in known:
        found = load(given)
        if isinstance(found, SettingsFault):
            fail(found.text)
        known[asked] = found
    return known[asked]


def existing_folder(found: Settings) -> Folder:
    """Return the data folder; end with a sentence when it is not whole, or no server has ever filled it."""
    folder = Folder(found.data)
    try:
        judge_folder(found, folder)
    except StorageError as error:
        fail(str(error))
    if not folder.database.exists():
        fail(f"{folder.database} does not exist; start the server once with `patchbay serve`, or name --data.")
    if folder.first_start.exists():
        fail(f"The first start in {folder.path} has not come to its end; start the server with `patchbay serve`.")
    return folder


def with_workspace(found: Settings, work: Callable[[Services], Awaitable[T]]) -> T:
    """Run some work on the workspace of a data folder, also beside a running server (decision 28)."""
    folder = existing_folder(found)
    base = found.base_url or last_address(folder) or found.url()

    async def run() -> T:
        async with open_services(found, folder, SystemClock(), base_url=base, serving=False) as (services, _):
            return await work(services)

    try:
        return asyncio.run(run())
    except StorageError as error:
        fail(str(error))


def as_owner(data: Path | None, work: Callable[[Services, User], Awaitable[T | Fault]]) -> T:
    """Run some work with the rights of the first owner (decision 68); a refusal ends the command."""

    async def run(services: Services) -> T | Fault:
        owners = [user for user in await services.directory.users() if user.role is Role.OWNER and user.active]
        if not owners:
            return Fault("There is no active owner in this data folder; restore a backup that has one.")
        return await work(services, owners[0])

    return checked(with_workspace(settings(data=data), run))


def checked(result: T | Fault) -> T:
    """Return what was done, or end with the sentence of the refusal and the details it has."""
    if isinstance(result, Fault):
        details = dict(result.details or {})
        more = [str(details["message"])] if "message" in details else []
        if "setting" in details:
            more.append(
                f"A command reads {details['setting']} from its own environment: set it here as for the server."
            )
        fail(" ".join((result.bracketed, *more)))
    return result


async def user_named(services: Services, name: str) -> User | Fault:
    """Find a user by name, whatever its case."""
    found = await services.directory.user_named(name)
    return found or Fault(f"There is no user {name!r}; `patchbay user list` shows all.")
