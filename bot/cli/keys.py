"""`patchbay keys`: the keys that seal secrets (decisions 8, 28, 30)."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click
from filelock import FileLock, Timeout

from bot.cli.common import data_option, existing_folder, fail, settings, with_workspace
from bot.cli.output import progress
from bot.folder import Folder
from bot.services import Services
from handlers.answers import plural
from storage.errors import VaultError
from storage.records.sealing import Resealed
from storage.vault import key_id, new_key, parse_keys, read_key_file, write_key_file

SHOWN = 10
"""Damaged values that are named; `patchbay db check` names all."""


@click.group()
def keys() -> None:
    """Encryption keys."""


@keys.command()
@click.option(
    "--old-keys",
    type=click.Path(dir_okay=False, path_type=Path),
    help="New file to write the keys into that are taken out, instead of printing them.",
)
@data_option
def rotate(old_keys: Path | None, data: Path | None) -> None:
    """Make a new key, seal every secret with it, and take the old one out of the key file.

    Works beside a running server. Backups made before need the old key: it is printed once. With
    PATCHBAY_ENCRYPTION_KEY, put the new key before the old one, restart the server with it, then run this.
    """
    found = settings(data=data)
    folder = existing_folder(found)
    if old_keys is not None and old_keys.exists():
        fail(f"{old_keys} exists already; name a new file.")

    async def work(services: Services) -> Resealed:
        with progress("Sealing") as step:
            return await services.store.reseal(step)

    with _alone(folder):
        if found.encryption_key is None:
            _add_key(folder.key_file)
        done = with_workspace(found, work)
        click.echo(f"Done. {done.changed} secrets are sealed with the first key.")
        if found.encryption_key is None:
            _take_out(folder.key_file, done, old_keys)
        else:
            _name_spare(parse_keys(found.encryption_key.get_secret_value()), done)
    if done.damaged:
        shown = ", ".join(done.damaged[:SHOWN]) + (" …" if len(done.damaged) > SHOWN else "")
        click.echo(f"{plural(len(done.damaged), 'value')} could not be opened and stay as they are: {shown}.", err=True)


def _add_key(key_file: Path) -> None:
    """Put a new key before those in use: it must be on disk before anything is sealed with it."""
    with _key_file_faults(key_file):
        read_key_file(key_file)
        write_key_file(key_file, [new_key(), *key_file.read_text("ascii").split()])


def _take_out(key_file: Path, done: Resealed, kept: Path | None) -> None:
    """Take out what nothing is sealed with any more, once that is on disk; tell what older backups need."""
    with _key_file_faults(key_file):
        first, *older = key_file.read_text("ascii").replace(",", " ").split()
        spare = [text for text in older if key_id(parse_keys(text)[0]) not in done.keys]
        if spare and kept is not None:
            write_key_file(kept, spare)
        write_key_file(key_file, [first, *(text for text in older if text not in spare)])
    if not spare:
        return
    is_one = len(spare) == 1
    what, it = ("the old key", "it") if is_one else (f"the {len(spare)} old keys", "them")
    click.echo(f"{key_file} no longer holds {what}. Backups made before now need {it}: keep {it} as long as them.")
    click.echo(f"Written to {kept}." if kept is not None else "\n".join(f"  {text}" for text in spare))


def _name_spare(keys: Sequence[bytes], done: Resealed) -> None:
    """Tell which keys of the environment nothing is sealed with any more."""
    spare = [str(number) for number, key in enumerate(keys, 1) if number > 1 and key_id(key) not in done.keys]
    if spare:
        are = f"Key {spare[0]} is" if len(spare) == 1 else f"Keys {', '.join(spare)} are"
        click.echo(
            f"{are} not needed any more: take what is spare out of PATCHBAY_ENCRYPTION_KEY, and keep it for backups"
            " made before now."
        )


@contextmanager
def _key_file_faults(key_file: Path) -> Iterator[None]:
    try:
        yield
    except VaultError as error:
        fail(str(error))
    except OSError as error:
        fail(f"{error.filename or key_file}: {error.strerror}.")


@contextmanager
def _alone(folder: Folder) -> Iterator[None]:
    """Keep a second rotation out: it would write a key file without the first one's key."""
    try:
        with FileLock(folder.path / "patchbay.key.lock", timeout=0):
            yield
    except Timeout:
        fail("Another `patchbay keys rotate` is at work in this data folder; wait for it.")
