"""`patchbay rocketchat-app`: package the native App for a Rocket.Chat server (rocketchat.md §11.1, decisions 4, 63)."""

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import click

from bot.cli.address import last_address
from bot.cli.common import data_option, fail
from bot.folder import Folder
from bot.settings import PREFIX, Settings, SettingsFault, load

ROOT = Path(__file__).resolve().parents[2]
MANIFEST = "app.json"
LANGUAGES = "i18n"
"""Where engines look for the texts of an App, at the root of its package."""
ADDRESS_KEY = "serverUrl"
"""The manifest's key for the default of the App's address setting."""
_DEPLOYERS_KEYS = ("env",)
_EARLIEST = (1980, 1, 1, 0, 0, 0)  # the same files give the same package, whenever it is built


@click.group("rocketchat-app")
def rocketchat_app() -> None:
    """The native App for a Rocket.Chat server."""


@rocketchat_app.command()
@click.option(
    "-o", "--output", required=True, type=click.Path(dir_okay=False, path_type=Path), help="The package to write."
)
@click.option("--url", help="Address the Rocket.Chat server reaches this one at; default PATCHBAY_BASE_URL.")
@data_option
def build(output: Path, url: str | None, data: Path | None) -> None:
    """Write the App's package.

    It holds the server's address as the default of a setting, and no secret: an administrator of the Rocket.Chat
    server enters workspace and secret in the App's settings.
    """
    address = _address(url, data)
    try:
        manifest = json.loads((ROOT / MANIFEST).read_bytes())
        package = _packed(dict(_files(manifest, address)))
    except FileNotFoundError as error:
        fail(f"{error.filename} is missing; build the App in a clone of the project where `make setup` was run.")
    try:
        output.write_bytes(package)
    except OSError as error:
        fail(f"{error.filename}: {error.strerror}.")
    click.echo(f"Done. {output} is the App {manifest['name']} {manifest['version']} for {address}.")
    click.echo("Next: `patchbay workspace add rocketchat-app`, then upload the file to Rocket.Chat as a private App")
    click.echo("and enter the workspace's id and secret in its settings.")


def _address(url: str | None, data: Path | None) -> str:
    given = {"base_url": url, "data": data}
    found = load({name: value for name, value in given.items() if value is not None})
    if isinstance(found, SettingsFault):
        fail(found.text.replace(f"{PREFIX}BASE_URL", "--url") if url is not None else found.text)
    return _base(found)


def _base(found: Settings) -> str:
    return found.base_url or last_address(Folder(found.data)) or found.url()


def _files(manifest: dict[str, object], address: str) -> Iterator[tuple[str, bytes]]:
    kept = {name: value for name, value in manifest.items() if name not in _DEPLOYERS_KEYS}
    yield MANIFEST, (json.dumps({**kept, ADDRESS_KEY: address}, indent=2, ensure_ascii=False) + "\n").encode()
    # the packager's schema wants `.ts`, and every loader reads the compiled `.js` beside it
    code = str(manifest["classFile"]).removesuffix(".ts") + ".js"
    for name in (code, str(manifest["iconFile"])):
        yield name, (ROOT / name).read_bytes()
    for language in sorted((ROOT / code).parent.joinpath(LANGUAGES).glob("*.json")):
        yield f"{LANGUAGES}/{language.name}", language.read_bytes()


def _packed(files: dict[str, bytes]) -> bytes:
    """Return a package that depends on nothing but its files: stored as they are, with one fixed time."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_STORED) as package:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, _EARLIEST)
            entry.create_system = 3  # Unix, whatever it is built on
            entry.external_attr = 0o644 << 16
            package.writestr(entry, content)
    return written.getvalue()
