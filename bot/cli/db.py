"""`patchbay db`: backup, check and migration of the database (decision 28)."""

import contextlib
import shutil
from pathlib import Path

import click

from bot.cli.common import data_option, existing_folder, fail, settings, with_workspace
from bot.cli.output import progress
from bot.compose import check_database
from bot.folder import Folder
from bot.services import Services
from handlers.answers import plural
from storage.errors import StorageError


@click.group()
def db() -> None:
    """The database file."""


@db.command()
@click.argument("target", type=click.Path(file_okay=False, path_type=Path))
@data_option
def backup(target: Path, data: Path | None) -> None:
    """Copy database and uploads into TARGET.

    Works while the server runs. To restore: stop the server, remove patchbay.db-wal and patchbay.db-shm from the
    data folder, copy the files of TARGET back into it, start the server again.
    """
    found = settings(data=data)
    folder = existing_folder(found)
    copy = Folder(target)
    if copy.database.exists():
        fail(f"{copy.database} exists already; name a new folder.")

    async def work(services: Services) -> None:
        with progress("Database") as step:
            await services.store.backup(copy.database, step)

    try:
        target.mkdir(mode=0o700, parents=True, exist_ok=True)
        # the database first: every file it knows then is there when the files are copied
        with_workspace(found, work)
        copy.database.chmod(0o600)
        files = _copy_uploads(folder, copy)
    except OSError as error:
        fail(f"{error.filename or target}: {error.strerror}.")
    click.echo(f"Done. {copy.database} and {plural(files, 'uploaded file')}.")
    click.echo(f"The key is not in it: keep {folder.key_file} in another place; without it no secret opens.")


def _copy_uploads(folder: Folder, copy: Folder) -> int:
    files = [file for file in folder.uploads.iterdir() if file.is_file()] if folder.uploads.is_dir() else []
    copy.uploads.mkdir(mode=0o700, exist_ok=True)
    with progress("Uploads") as step:
        for number, file in enumerate(files, 1):
            with contextlib.suppress(FileNotFoundError):  # the server removed it meanwhile
                shutil.copyfile(file, copy.uploads / file.name)  # with a mode of its own, under this process's mask
            step(number, len(files))
    return len(files)


@db.command()
@data_option
def check(data: Path | None) -> None:
    """Look for damage; exit code 1 when there is any.

    Reads only: a file of an older version stays as it is.
    """
    found = settings(data=data)
    folder = existing_folder(found)
    try:
        faults, is_older = check_database(found, folder)
    except StorageError as error:
        fail(str(error))
    if faults:
        fail("The database is damaged; restore a backup:\n" + "\n".join(faults))
    older = " It is of an older version: the next start migrates it, as `patchbay db migrate` does." if is_older else ""
    click.echo(f"Done. The database is sound.{older}")


@db.command()
@data_option
def migrate(data: Path | None) -> None:
    """Bring the file to this version.

    The old one is copied to backups/ before. `serve` does the same when it starts.
    """
    found = settings(data=data)
    folder = existing_folder(found)
    before = set(folder.backups.glob("*.db"))

    async def work(_: Services) -> None:
        return None

    with_workspace(found, work)
    copies = sorted(set(folder.backups.glob("*.db")) - before)
    if copies:
        click.echo(f"Done. The database is at this version; the old file is {copies[-1]}.")
    else:
        click.echo("Done. The database was at this version already.")
