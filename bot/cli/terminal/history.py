"""The lines typed before, kept for the next time in a file of the user's own; never one with a secret in it."""

import contextlib
import os
import re
from collections.abc import Iterable
from pathlib import Path

from prompt_toolkit.history import History

from handlers.command import Commands
from handlers.line import Problem, tokenise
from handlers.masking import is_secret_name

MOST = 1_000
"""Lines kept; the file is cut back to them when it is read."""

_NAMED = re.compile(r"(--?)?([^\W\d_][\w.-]*)(=)?(.*)", re.DOTALL)
_NOT_FILLED = ("", "?")


class LineHistory(History):
    """One line of the file is one line typed, the oldest first."""

    def __init__(self, file: Path, secret_flags: Iterable[str]) -> None:
        super().__init__()
        self._file = file
        self._secret_flags = frozenset(secret_flags)

    def append_string(self, string: str) -> None:
        """Remember a line, here and in the file, unless it holds a secret."""
        if string.strip() and not holds_secret(string, self._secret_flags):
            super().append_string(string)

    def load_history_strings(self) -> Iterable[str]:
        """Return the lines of the file, newest first."""
        try:
            lines = self._file.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return []
        if len(lines) > MOST:
            lines = lines[-MOST:]
            self._write(lines, os.O_TRUNC)
        return reversed(lines)

    def store_string(self, string: str) -> None:
        """Add a line to the file."""
        self._write([" ".join(string.splitlines())], os.O_APPEND)

    def _write(self, lines: list[str], how: int) -> None:
        with contextlib.suppress(OSError):  # a home that cannot be written costs the history, not the work
            descriptor = os.open(self._file, os.O_WRONLY | os.O_CREAT | how, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8", errors="replace") as file:
                os.fchmod(descriptor, 0o600)
                file.writelines(line + "\n" for line in lines)


def secret_flags(commands: Commands) -> frozenset[str]:
    """Return the names of all flags whose values are secret."""
    return frozenset(flag.name for command in commands for flag in command.flags if flag.secret)


def holds_secret(line: str, secret_flags: frozenset[str]) -> bool:
    """Tell whether a line gives a value to something secret, or to something that sounds like it.

    The server may know more flags than this client, so the sound of a name counts too; a line that cannot be
    read is judged by it alone.
    """
    words = tokenise(line)
    if isinstance(words, Problem):
        return is_secret_name(line)
    waiting = False
    for word in words:
        if waiting and word.text not in _NOT_FILLED:
            return True
        waiting = False
        found = None if word.is_value else _NAMED.fullmatch(word.text)
        if found is None:
            continue
        dashes, name, equals, value = found.groups()
        if not (name.casefold() in secret_flags or is_secret_name(name)):
            continue
        if equals and value not in _NOT_FILLED:
            return True
        waiting = bool(dashes) and not equals
    return False
