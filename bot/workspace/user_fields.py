"""What users may be called, and how Rocket.Chat's role names are read (`rocketchat.md` §2, decision 20)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from handlers.errors import Fault
from handlers.mentions import EVERYBODY
from storage.records.user import Role, User

_USERNAME = re.compile(r"[0-9a-zA-Z-_.]{1,64}")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")
_LONGEST = 254

_ROLES = {"user": Role.VIEWER, **{role.value: role for role in Role}}


def username_fault(username: str) -> Fault | None:
    """Tell why nobody can have this user name."""
    if not username:
        return _required("Username")
    if not _USERNAME.fullmatch(username):
        return _not_valid(username, "username", "use up to 64 letters, digits, . _ and -")
    if username.lower() in EVERYBODY:
        return Fault(f"{username} is blocked and can't be used!", "error-blocked-username")
    return None


def name_fault(name: str) -> Fault | None:
    """Tell why this cannot be shown as somebody's name: line breaks and direction marks forge log and chat lines."""
    if not name.strip():
        return _required("Name")
    if len(name) > _LONGEST or not name.isprintable():
        return _not_valid(name, "name", f"use up to {_LONGEST} visible characters")
    return None


def email_fault(email: str) -> Fault | None:
    """Tell why this is no e-mail address."""
    if len(email) > _LONGEST or not email.isprintable() or not _EMAIL.fullmatch(email):
        return Fault(f"Invalid email {_shown(email)}", "error-invalid-email")
    return None


@dataclass(frozen=True, slots=True)
class Roles:
    """What a list of Rocket.Chat's role names asks for."""

    role: Role
    is_bot: bool


def read_roles(names: Sequence[str], current: User | None = None) -> Roles | Fault:
    """Read role names, Rocket.Chat's or ours; the highest counts.

    Rocket.Chat shows owners as `admin` and editors as `user`: a client that sends back what it was shown
    changes nothing.
    """
    unknown = [name for name in names if name != "bot" and name not in _ROLES]
    if unknown:
        return Fault(
            f"There is no role {_shown(unknown[0])}; use admin, editor, viewer, user or bot", "error-invalid-role"
        )
    asked = [name for name in names if name != "bot"]
    is_bot = "bot" in names
    if not asked:
        return Roles(current.role if current else Role.VIEWER, is_bot)
    highest = min(asked, key=lambda name: _ROLES[name].rank)
    if current is not None:
        shown = "admin" if current.role.at_least(Role.ADMIN) else "user"
        if highest == shown:
            return Roles(current.role, is_bot)
    return Roles(_ROLES[highest], is_bot)


def _required(field: str) -> Fault:
    return Fault(f"The field {field} is required", "error-the-field-is-required")


def _not_valid(value: str, what: str, advice: str) -> Fault:
    return Fault(f"{_shown(value)} is not a valid {what}: {advice}", "error-input-is-not-a-valid-field")


def _shown(value: str) -> str:
    """Return a refused value for a text: short, and without characters that act on a terminal."""
    return "".join(char if char.isprintable() else "?" for char in value[:64])
