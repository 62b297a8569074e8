"""Passwords: the digest every login works with, its slow hash, and one-time passwords (decision 21)."""

import asyncio
import hashlib
import re
from typing import NewType

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from handlers.errors import Fault
from storage.ids import random_text

Digest = NewType("Digest", str)
"""The lower-case hex SHA-256 of a password: what clients may send in its place (`rocketchat.md` §2)."""

MIN_LENGTH = 12
AT_ONCE = 2
"""Hashes worked out at the same time: each takes a core and 19 MiB."""

USUAL = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
"""About 20 ms and 19 MiB a password: the first of OWASP's choices for argon2id. Tests hand in a cheaper one."""

_DIGEST = re.compile(r"[0-9a-fA-F]{64}")


def digest_of(password: str) -> Digest:
    """Return the digest of a password in clear."""
    return Digest(hashlib.sha256(password.encode("utf-8", "surrogatepass")).hexdigest())


def read_digest(text: object) -> Digest | None:
    """Read a digest as clients send it, in either case; None when it is not one."""
    return Digest(text.lower()) if isinstance(text, str) and _DIGEST.fullmatch(text) else None


def weakness(password: str) -> Fault | None:
    """Tell why a new password is not good enough; a digest cannot be measured."""
    if len(password) < MIN_LENGTH:
        return Fault(f"The password needs at least {MIN_LENGTH} characters", "error-password-policy-not-met")
    return None


def one_time_password() -> str:
    """Return a random password that a person can copy from a screen."""
    return "-".join(random_text(5) for _ in range(4))


class Passwords:
    """Hashes and checks off the event loop, a few at a time."""

    def __init__(self, hasher: PasswordHasher = USUAL) -> None:
        self._hasher = hasher
        self._places = asyncio.Semaphore(AT_ONCE)

    async def hash(self, digest: Digest) -> str:
        """Return the argon2id hash to store."""
        async with self._places:
            return await asyncio.to_thread(self._hasher.hash, digest)

    async def matches(self, digest: Digest, stored: str | None) -> bool:
        """Check a login; without a stored hash it fails after the same work, so that time tells nothing."""
        if stored is None:
            await self.hash(digest)
            return False
        async with self._places:
            return await asyncio.to_thread(self._verify, stored, digest)

    def _verify(self, stored: str, digest: Digest) -> bool:
        try:
            return self._hasher.verify(stored, digest)
        except (VerificationError, InvalidHashError):
            return False
