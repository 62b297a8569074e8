"""`patchbay keys`: the keys that seal secrets (decisions 8, 28, 30)."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from filelock import FileLock, Timeout

from bot.cli.common import data_option, existing_folder, fail, settings, with_workspace
from bot.cli.output import progress
from bot.folder import Folder
from bot.services import Services
from storage.errors import VaultError
from storage.vault import load_key_file, new_key, write_key_file


@click.group()
def keys() -> None:
    """Encryption keys."""


@keys.command()
@data_option
def rotate(data: Path | None) -> None:
    """Make a new key and seal every secret with it.

    Works beside a running server. Old keys stay in the key file, for backups made before and for the server until
    it has read the file again. With PATCHBAY_ENCRYPTION_KEY, put the new key before the old one, restart the
    server with it, then run this.
    """
    found = settings(data=data)
    folder = existing_folder(found)

    async def work(services: Services) -> int:
        with progress("Sealing") as step:
            return await services.store.reseal(step)

    with _alone(folder):
        if found.encryption_key is None:
            _add_key(folder.key_file)
        sealed = with_workspace(found, work)
    click.echo(f"Done. {sealed} secrets are sealed with the first key.")


def _add_key(key_file: Path) -> None:
    """Put a new key before those in use: it must be on disk before anything is sealed with it."""
    if not key_file.exists():
        fail(f"{key_file} does not exist; put it back, without it no secret opens.")
    try:
        load_key_file(key_file)
        write_key_file(key_file, [new_key(), *key_file.read_text("ascii").split()])
    except VaultError as error:
        fail(str(error))
    except OSError as error:
        fail(f"{key_file}: {error.strerror}.")


@contextmanager
def _alone(folder: Folder) -> Iterator[None]:
    """Keep a second rotation out: it would write a key file without the first one's key."""
    try:
        with FileLock(folder.path / "patchbay.key.lock", timeout=0):
            yield
    except Timeout:
        fail("Another `patchbay keys rotate` is at work in this data folder; wait for it.")
