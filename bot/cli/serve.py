"""`patchbay serve`: run the server."""

import asyncio
from pathlib import Path

import click

from bot import log
from bot.cli.common import data_option, fail, settings
from bot.serve import Running
from bot.serve import serve as run
from storage.errors import StorageError


@click.command()
@click.option("--host", help="Address to listen on; default PATCHBAY_HOST or 127.0.0.1.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on; default PATCHBAY_PORT or 8084.")
@data_option
def serve(host: str | None, port: int | None, data: Path | None) -> None:
    """Run the server until it is told to stop (SIGTERM or Ctrl-C)."""
    found = settings(host=host, port=port, data=data)
    log.configure(found.log_level)
    try:
        asyncio.run(run(found, announce))
    except StorageError as error:
        fail(str(error))
    except OSError as error:
        fail(f"Cannot listen on {found.host} port {found.port}: {error.strerror or error}.")


def announce(server: Running) -> None:
    """Tell the person who started it where it is; on the first start also what is shown only once."""
    base = server.services.base_url
    click.echo(f"Patchbay is ready at {base}")
    first = server.first_start
    if first is None:
        return
    click.echo("")
    click.echo(f"  Owner     {first.username}")
    if first.password is not None:
        click.echo(f"  Password  {first.password}   (shown once; change it with `patchbay user password`)")
    click.echo("")
    click.echo("  A first webhook posts to #general. Try it:")
    click.echo("")
    click.echo(
        "  curl -X POST -H 'Content-Type: application/json' --data '{\"text\":\"Hello from curl\"}' "
        f"{base}/hooks/{first.hook_id}/{first.hook_token}"
    )
    click.echo("")
