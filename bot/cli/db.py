"""`patchbay db`: backup, check and migration of the database."""

import shutil
from pathlib import Path

import click

from bot.cli.common import data_option, fail, settings, with_workspace
from bot.folder import Folder
from bot.services import Services


@click.group()
def db() -> None:
    """The database file."""


@db.command()
@click.argument("target", type=click.Path(file_okay=False, path_type=Path))
@data_option
def backup(target: Path, data: Path | None) -> None:
    """Copy database and uploads into the folder TARGET, also while the server runs.

    To restore: stop the server, copy the files of TARGET back into the data folder (removing
    patchbay.db-wal and patchbay.db-shm there), start it again.
    """
    found = settings(data=data)
    folder = Folder(found.data)
    copy = Folder(target)
    if copy.database.exists():
        fail(f"{copy.database} exists already; name a new folder.")
    target.mkdir(mode=0o700, parents=True, exist_ok=True)

    async def work(services: Services) -> None:
        await services.store.backup(copy.database)

    with_workspace(found, work)
    files = [file for file in folder.uploads.iterdir() if file.is_file()] if folder.uploads.is_dir() else []
    copy.uploads.mkdir(mode=0o700, exist_ok=True)
    with click.progressbar(files, label="Uploads", file=click.get_text_stream("stderr")) as bar:
        for file in bar:
            shutil.copy2(file, copy.uploads / file.name)
    click.echo(f"Done. {copy.database} and {len(files)} uploaded files.")
    click.echo(f"The key file is not in it: keep {folder.key_file} in another place; without it no secret opens.")


@db.command()
@data_option
def check(data: Path | None) -> None:
    """Look for damage; exit code 1 when there is any."""

    async def work(services: Services) -> list[str]:
        return await services.store.check()

    faults = with_workspace(settings(data=data), work)
    if faults:
        fail("The database is damaged:\n" + "\n".join(faults))
    click.echo("Done. The database is sound.")


@db.command()
@data_option
def migrate(data: Path | None) -> None:
    """Bring the file to this version, after a copy to backups/; `serve` does the same when it starts."""

    async def work(_: Services) -> None:
        return None

    with_workspace(settings(data=data), work)
    click.echo("Done. The database is at this version.")
