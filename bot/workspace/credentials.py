"""What a login brings, read from the shapes REST and the socket know, and why one fails (`rocketchat.md` §2)."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from bot.workspace.passwords import Digest, digest_of, read_digest


@dataclass(frozen=True, slots=True, kw_only=True)
class PasswordLogin:
    """A name or an e-mail address, with the digest of a password."""

    name: str
    by_email: bool
    digest: Digest = field(repr=False)


@dataclass(frozen=True, slots=True)
class Resume:
    """A token of a session that still runs."""

    token: str = field(repr=False)


Credentials = PasswordLogin | Resume


@dataclass(frozen=True, slots=True)
class LoginFailure:
    """What the 401 answer and the socket's error say."""

    error: str | int
    message: str


LOGIN_FAILED = LoginFailure("Unauthorized", "Unauthorized")
"""Whatever was wrong: that a name exists, or that its account is closed, is not told to who cannot log in."""
LOGGED_OUT = LoginFailure(403, "You've been logged out by the server. Please log in again.")
BLOCKED = "error-login-blocked-for-user"
UNREADABLE = LoginFailure(400, 'Send "user" and "password", or "resume" with a token.')


def blocked(seconds: float) -> LoginFailure:
    """Return the failure of a name that has failed too often from this address."""
    return LoginFailure(
        BLOCKED,
        f"Too many failed logins with this name from your address. Try again in {math.ceil(seconds)} seconds.",
    )


def crowded(seconds: float) -> LoginFailure:
    """Return the failure of a try that found too many others of the same name waiting for their turn."""
    return LoginFailure(
        BLOCKED,
        f"Too many others are trying to log in with this name. Try again in {math.ceil(seconds)} seconds.",
    )


def read_credentials(body: Mapping[str, object]) -> Credentials | LoginFailure:
    """Read a login's body or the parameter of the socket's `login`; a second factor's `code` is ignored."""
    resume = body.get("resume")
    if isinstance(resume, str) and resume:
        return Resume(resume)
    digest = _digest(body.get("password"))
    who = _who(body)
    if digest is None or who is None:
        return UNREADABLE
    name, by_email = who
    return PasswordLogin(name=name, by_email=by_email, digest=digest)


def _who(body: Mapping[str, object]) -> tuple[str, bool] | None:
    user = body.get("user")
    if isinstance(user, str) and user:
        return user, "@" in user
    named = user if isinstance(user, Mapping) else body  # the socket wraps the name in an object
    for key, by_email in (("username", False), ("email", True)):
        name = named.get(key)
        if isinstance(name, str) and name:
            return name, by_email
    return None


def _digest(password: object) -> Digest | None:
    if isinstance(password, str):
        return digest_of(password) if password else None
    if not isinstance(password, Mapping):
        return None
    if "digest" in password:
        return read_digest(password["digest"]) if password.get("algorithm", "sha-256") == "sha-256" else None
    return read_digest(password.get("hashed"))
