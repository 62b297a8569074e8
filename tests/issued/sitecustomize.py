"""Notes every token, code and key that a process of a test run makes: first thing in each of them, servers too."""

import os
import secrets
from collections.abc import Callable
from typing import ParamSpec

from storage import ids

FILE = "TESTS_ISSUED"
"""The environment variable that names the file to note them in; without it nothing is noted."""
SHORTEST = 20
"""What is shorter is no secret: an id, or half of one."""

P = ParamSpec("P")


def noting(make: Callable[P, str], path: str) -> Callable[P, str]:
    """Return `make` with what it makes appended to a file."""

    def made(*values: P.args, **named: P.kwargs) -> str:
        text = make(*values, **named)
        if len(text) >= SHORTEST:
            file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            os.write(file, f"{text}\n".encode())
            os.close(file)
        return text

    return made


def install() -> None:
    """Begin; who imports these makers afterwards gets the noting ones."""
    if path := os.environ.get(FILE):
        ids.random_text = noting(ids.random_text, path)
        secrets.token_urlsafe = noting(secrets.token_urlsafe, path)


install()
