"""The key of the lookup hashes: made once, sealed, and with that the proof of which encryption key is the file's."""

import secrets
import sqlite3
from contextlib import closing
from pathlib import Path

from storage.errors import VaultError
from storage.sqlite.connect import connect, side_files, translated
from storage.vault import Vault

NAME = "lookup_key"
IDENTITY = f"setting:{NAME}"
_SELECT = f"SELECT value FROM setting WHERE key = '{NAME}'"

_WRONG_KEY = (
    "The encryption key does not open this database: it belongs to another one or was rotated."
    " Put back the key file, or set PATCHBAY_ENCRYPTION_KEY to the keys in use."
)


def read(connection: sqlite3.Connection) -> bytes | None:
    """Return the sealed value; None before there is any."""
    row = connection.execute(_SELECT).fetchone()
    return None if row is None else bytes(row[0])


def opened(sealed: bytes, vault: Vault) -> bytes:
    """Return the key of the lookup hashes; raise VaultError when no encryption key opens it."""
    try:
        return vault.open(sealed, IDENTITY)
    except VaultError as error:
        raise VaultError(_WRONG_KEY) from error


def made(connection: sqlite3.Connection, vault: Vault) -> bytes:
    """Return the key of the lookup hashes, making it in a new file."""
    sealed = read(connection)
    if sealed is None:
        fresh = vault.seal(secrets.token_bytes(32), IDENTITY)
        connection.execute("INSERT INTO setting (key, value) VALUES (?, ?) ON CONFLICT DO NOTHING", (NAME, fresh))
        sealed = read(connection) or fresh
    return opened(sealed, vault)


def follow(connection: sqlite3.Connection, vault: Vault) -> None:
    """Take the keys as another process has left them; raise VaultError when none is right.

    Nothing may be sealed then: with a key that was taken out of use it would be lost at the next start.
    """
    sealed = read(connection)
    if sealed is not None:
        vault.refresh(sealed, IDENTITY)
        opened(sealed, vault)


def holds_nothing(path: Path) -> bool:
    """Tell whether a file has no tables; it is read without a byte of it changing, and no file is made."""
    if path.stat().st_size == 0:
        return True
    with closing(_looking(path)) as connection, translated(path):
        return connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone() is None


def judge(path: Path, vault: Vault) -> None:
    """Raise VaultError when the keys are not those of a file, which is read as `holds_nothing` does."""
    with closing(_looking(path)) as connection, translated(path):
        if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'setting'").fetchone() is None:
            return  # not ours, or of a version this program does not know: whoever opens it says so
        sealed = read(connection)
    if sealed is not None:
        opened(sealed, vault)


def _looking(path: Path) -> sqlite3.Connection:
    # a reader makes the files of the log where they are missing; a file without them is whole by itself
    return connect(path, readonly=True, immutable=not any(file.exists() for file in side_files(path)))
