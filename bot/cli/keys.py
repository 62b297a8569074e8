"""`patchbay keys`: the keys that seal secrets."""

from pathlib import Path

import click

from bot.cli.common import data_option, fail, settings, with_workspace
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
    """Make a new encryption key and seal every secret with it; works beside a running server.

    With PATCHBAY_ENCRYPTION_KEY, put the new key before the old one yourself; this then seals everything
    with it. With the key file, old keys stay in it for backups made before.
    """
    found = settings(data=data)
    if found.encryption_key is None:
        key_file = Folder(found.data).key_file
        try:
            load_key_file(key_file)
            old = key_file.read_text("ascii").split()
        except VaultError as error:
            fail(str(error))
        write_key_file(key_file, [new_key(), *old])

    async def work(services: Services) -> int:
        with click.progressbar(length=1, label="Sealing", file=click.get_text_stream("stderr")) as bar:

            def progress(done: int, total: int) -> None:
                bar.length = max(total, 1)
                bar.update(done - bar.pos)

            return await services.store.reseal(progress)

    click.echo(f"Done. {with_workspace(found, work)} secrets sealed with the new key.")
