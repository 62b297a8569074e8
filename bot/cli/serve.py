"""`patchbay serve`: run the server."""

import asyncio
import shlex
from pathlib import Path

import click

from bot import log
from bot.cli.address import remember_address
from bot.cli.common import data_option, fail, settings
from bot.folder import Folder
from bot.serve import CannotListen, Running
from bot.serve import serve as run
from bot.settings import client_token
from bot.workspace.first_start import FirstStart
from storage.errors import StorageError


@click.command()
@click.option("--host", help="Address to listen on; default PATCHBAY_HOST or 127.0.0.1.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on; default PATCHBAY_PORT or 8084.")
@data_option
def serve(host: str | None, port: int | None, data: Path | None) -> None:
    """Run the server until SIGTERM or Ctrl-C."""
    found = settings(host=host, port=port, data=data)
    client_token()  # taken out of the environment: the server has no use for it
    log.configure(found.log_level)
    try:
        asyncio.run(run(found, announce))
    except (StorageError, CannotListen) as error:
        fail(str(error))
    except OSError as error:
        what = f"{error.filename}: " if error.filename is not None else "The system refused the server something: "
        fail(f"{what}{error.strerror or error}.")


def announce(server: Running) -> None:
    """Tell the person who started it where it is; on the first start, before that, what is shown only once.

    The ready line comes last: whoever waits for it has read everything.
    """
    base = server.services.base_url
    remember_address(Folder(server.services.folder), base)
    if server.first_start is not None:
        _introduce(server.first_start, base)
    click.echo(f"Patchbay is ready at {base}")


def _introduce(first: FirstStart, base: str) -> None:
    click.echo("")
    click.echo(f"  Owner     {first.username}")
    if first.password is not None:
        click.echo(f"  Password  {first.password}   (shown once; change it with `patchbay user password`)")
    click.echo("")
    click.echo("  A first webhook posts to #general. Try it:")
    click.echo("")
    address = shlex.quote(f"{base}/hooks/{first.hook_id}/{first.hook_token}")
    click.echo("  curl -X POST -H 'Content-Type: application/json' --data '{\"text\":\"Hello from curl\"}' " + address)
    click.echo("")
