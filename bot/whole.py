"""Whether a data folder is whole: what an earlier server left there is not taken for a first start."""

from collections.abc import Callable
from pathlib import Path

from bot.folder import Folder
from handlers.answers import plural
from storage.errors import Incomplete

HoldsNothing = Callable[[Path], bool]
"""Tells whether a database file is an empty one, without changing a byte."""

_ELSEWHERE = "for a new workspace, name an empty folder."
_RESTORE = "Put the database back from a backup, as README says under “Backup and restore”;"


def judge(folder: Folder, *, keys_given: bool, holds_nothing: HoldsNothing) -> None:
    """Raise Incomplete when something is missing, and touch nothing.

    A new database beside an old key would be an empty workspace in the place of the lost one; a new key beside an old
    database would open none of its secrets, and what is sealed with it nobody could tell apart. `keys_given` says that
    the encryption keys do not come from the key file.
    """
    if folder.first_start.exists():  # that start has not come to its end: whatever there is, it made itself
        return
    if not folder.database.exists():
        if found := _left(folder):
            raise Incomplete(f"{folder.path} holds {found}, but no {folder.database.name}. {_RESTORE} {_ELSEWHERE}")
    elif holds_nothing(folder.database):
        raise Incomplete(f"{folder.database} is an empty database. {_RESTORE} {_ELSEWHERE}")
    elif not keys_given and not folder.key_file.exists():
        raise Incomplete(
            f"{folder.path} holds {folder.database.name}, but no {folder.key_file.name}, which opens its secrets."
            " Put the key file back from where it is kept, or set PATCHBAY_ENCRYPTION_KEY to the key in use."
        )


def _left(folder: Folder) -> str:
    """Name what an earlier server left in a folder without a database; empty when there is nothing."""
    found = [file.name for file in (folder.key_file, *folder.beside_database) if file.exists()]
    for part in (folder.uploads, folder.backups):
        if part.is_dir() and (count := sum(1 for _ in part.iterdir())):
            found.append(f"{part.name}/ with {plural(count, 'file')}")
    return ", ".join(found)
