"""Seal an export under a passphrase: AES-256-GCM with a key of scrypt (decision 67).

The file is magic and version, salt, nonce, then the sealed text. Version 1 fixes the cost of scrypt, so that no file
can ask for more memory than that.
"""

import os
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

MAGIC: Final = b"PATCHBAY EXPORT "
VERSION: Final = b"1\n"
SHORTEST: Final = 12
"""Characters of a passphrase, as of a password (decision 21)."""

WRONG: Final = "The passphrase does not open this file, or the file was damaged."
_COST: Final = {"n": 2**17, "r": 8, "p": 1}
_SALT: Final = 16
_NONCE: Final = 12
_HEAD: Final = len(MAGIC) + len(VERSION)


class SealFault(ValueError):
    """Why a file does not open, as one sentence."""


def is_sealed(content: bytes) -> bool:
    """Tell whether a file is an encrypted export."""
    return content.startswith(MAGIC)


def seal(text: str, passphrase: str) -> bytes:
    """Encrypt an export."""
    salt, nonce = os.urandom(_SALT), os.urandom(_NONCE)
    head = MAGIC + VERSION + salt + nonce
    return head + AESGCM(_key(passphrase, salt)).encrypt(nonce, text.encode(), head)


def unseal(content: bytes, passphrase: str) -> str:
    """Decrypt an export; raise `SealFault` with what is wrong."""
    if content[len(MAGIC) : _HEAD] != VERSION:
        raise SealFault("This encrypted export is of another version of Patchbay.")
    start = _HEAD + _SALT + _NONCE
    salt, nonce = content[_HEAD : _HEAD + _SALT], content[_HEAD + _SALT : start]
    if len(salt) < _SALT or len(nonce) < _NONCE:
        raise SealFault(WRONG)
    try:
        return AESGCM(_key(passphrase, salt)).decrypt(nonce, content[start:], content[:start]).decode()
    except (InvalidTag, ValueError) as error:
        raise SealFault(WRONG) from error


def _key(passphrase: str, salt: bytes) -> bytes:
    return Scrypt(salt=salt, length=32, **_COST).derive(passphrase.encode("utf-8", "surrogatepass"))
