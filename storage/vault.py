"""Secrets at rest: AES-256-GCM sealing with a ring of keys, and keyed hashes for lookup (decisions 8, 9)."""

import base64
import hashlib
import os
import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from storage.errors import VaultError

_NONCE = 12
_KEY_ID = 4


@dataclass(frozen=True, slots=True)
class _Key:
    id: bytes
    cipher: AESGCM
    raw: bytes = field(repr=False)


class Vault:
    """Seals with the first key, opens with any; never shows a key in its repr."""

    def __init__(
        self,
        keys: Sequence[bytes],
        lookup_key: bytes | None = None,
        reread: Callable[[], Sequence[bytes]] | None = None,
    ) -> None:
        """Take 32-byte keys, first one seals; raise VaultError when there is none or one is not 32 bytes.

        `reread` is asked for the keys as they are now when another process may have rotated them a moment ago.
        """
        self._keys = _ring(keys)
        self._lookup = lookup_key
        self._reread = reread

    def refresh(self, sealed: bytes, identity: str) -> None:
        """Take the keys as they are now, here and in every vault made from this one, if they open a stored value.

        Else those in use stay: a key file that is gone, damaged or another database's must not seal anything.
        """
        if self._reread is None:
            return
        with suppress(VaultError):
            fresh = _ring(self._reread())
            _open(fresh, sealed, identity)
            self._keys[:] = fresh

    def __reduce__(self) -> tuple[type["Vault"], tuple[object, ...]]:
        """Be sent to the process that writes, over a line of its own; never stored."""
        return Vault, ([key.raw for key in self._keys], self._lookup, self._reread)

    def seal(self, plain: bytes, identity: str) -> bytes:
        """Encrypt a value for one record; `identity` (like `integration:65e2…`) must be given to open it."""
        key, nonce = self._keys[0], os.urandom(_NONCE)
        return key.id + nonce + key.cipher.encrypt(nonce, plain, identity.encode())

    def open(self, sealed: bytes, identity: str) -> bytes:
        """Decrypt a sealed value; raise VaultError when no key fits or the record's identity differs."""
        if all(key.id != key_of(sealed) for key in tuple(self._keys)):
            self.refresh(sealed, identity)
        return _open(tuple(self._keys), sealed, identity)

    def is_current(self, sealed: bytes) -> bool:
        """Tell whether a value was sealed with the first key."""
        return key_of(sealed) == self._keys[0].id

    def with_lookup_key(self, lookup_key: bytes) -> "Vault":
        """Return the same vault with the key of the lookup hashes."""
        other = Vault.__new__(Vault)
        other._keys, other._lookup, other._reread = self._keys, lookup_key, self._reread
        return other

    def lookup(self, value: str) -> bytes:
        """Return the keyed hash a token or address is found by."""
        if self._lookup is None:
            raise VaultError("The lookup key is not loaded yet.")
        # BLAKE2 has the key built in, and is over before it were worth handing the interpreter lock over
        return hashlib.blake2b(value.encode("utf-8", "surrogatepass"), key=self._lookup, digest_size=16).digest()


def key_id(key: bytes) -> bytes:
    """Return what a key is called in the values it has sealed."""
    return hashlib.sha256(b"patchbay key id" + key).digest()[:_KEY_ID]


def key_of(sealed: bytes) -> bytes:
    """Return the id of the key a value was sealed with."""
    return sealed[:_KEY_ID]


def _ring(keys: Sequence[bytes]) -> list[_Key]:
    if not keys or any(len(key) != 32 for key in keys):
        raise VaultError("An encryption key must be 32 bytes, written as base64.")
    return [_Key(key_id(key), AESGCM(key), key) for key in keys]


def _open(ring: Sequence[_Key], sealed: bytes, identity: str) -> bytes:
    key = next((key for key in ring if key.id == key_of(sealed)), None)
    if key is None:
        raise VaultError
    nonce, rest = sealed[_KEY_ID : _KEY_ID + _NONCE], sealed[_KEY_ID + _NONCE :]
    try:
        return key.cipher.decrypt(nonce, rest, identity.encode())
    except (InvalidTag, ValueError) as error:
        raise VaultError(f"The stored secret of {identity} was changed or moved.") from error


def new_key() -> str:
    """Return a fresh encryption key as text."""
    return base64.b64encode(secrets.token_bytes(32)).decode()


def parse_keys(text: str) -> list[bytes]:
    """Read keys separated by commas or white space; raise VaultError naming what is wrong."""
    keys = []
    for number, part in enumerate(text.replace(",", " ").split(), 1):
        try:
            key = base64.b64decode(part, validate=True)
        except ValueError as error:
            raise VaultError(f"Encryption key {number} is not base64.") from error
        if len(key) != 32:
            raise VaultError(f"Encryption key {number} has {len(key)} bytes; it needs 32.")
        keys.append(key)
    if not keys:
        raise VaultError("The encryption key is empty.")
    return keys


def read_key_file(path: Path) -> list[bytes]:
    """Read the key file; raise VaultError naming the fault."""
    try:
        return parse_keys(path.read_text("ascii"))
    except (OSError, UnicodeDecodeError) as error:
        raise VaultError(f"The key file {path.name} cannot be used: {error}.") from error


def write_key_file(path: Path, keys: Sequence[str]) -> None:
    """Replace the key file in one step, readable by its owner only."""
    fresh = path.with_name(path.name + ".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write("\n".join(keys) + "\n")
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    # the name must last as long as the secrets do
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
