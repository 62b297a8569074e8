"""The address people reach the server at, left in the data folder for commands started beside it."""

import contextlib

from bot.folder import Folder

FILE = "patchbay.url"


def remember_address(folder: Folder, base_url: str) -> None:
    """Note the base of every address; commands print hook addresses with it, also when the server has stopped."""
    with contextlib.suppress(OSError):  # a full disk must not stop the server
        (folder.path / FILE).write_text(base_url + "\n", encoding="utf-8")


def last_address(folder: Folder) -> str | None:
    """Return the base address of the server that ran last in this folder."""
    try:
        return (folder.path / FILE).read_text(encoding="utf-8").strip() or None
    except (OSError, UnicodeDecodeError):
        return None
