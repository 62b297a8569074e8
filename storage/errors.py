"""What can go wrong with stored state; each class's docstring is its default message."""

from collections.abc import Iterator
from contextlib import contextmanager


class StorageError(Exception):
    """The stored state could not be used."""

    code = "storage"

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").strip())


class Unavailable(StorageError):
    """The database cannot be written right now; nothing was changed, try again shortly."""

    code = "storage-unavailable"


class Uncertain(Unavailable):
    """The database did not answer: it is not certain whether this was stored; repeat it with the same id."""

    code = "storage-uncertain"


class Overloaded(Unavailable):
    """More waits to be written than this server holds; nothing was changed, try again shortly."""

    code = "storage-overloaded"


class Moved(Unavailable):
    """Put that very file back, or stop the server and restore a backup; until then nothing is written."""

    code = "storage-moved"


class StorageFull(Unavailable):
    """The disk that holds the database is full; free some space, nothing was changed."""

    code = "storage-full"


class ReadOnly(Unavailable):
    """The database is read-only; make the data folder and its files writable for this user."""

    code = "storage-read-only"


class Corrupt(StorageError):
    """The database file is damaged or is not a Patchbay database; restore a backup."""

    code = "storage-corrupt"


class Incomplete(StorageError):
    """Something is missing in the data folder; put it back before you start."""

    code = "storage-incomplete"


class NewerVersion(StorageError):
    """The database was written by a newer Patchbay; install that version or restore an older backup."""

    code = "storage-newer"


class InUse(StorageError):
    """Another Patchbay server already uses this data folder; stop it first or name another folder."""

    code = "storage-in-use"


class Taken(StorageError):
    """A unique name or id is already in use."""

    code = "storage-taken"


class Stale(Taken):
    """Somebody else changed this meanwhile; look at it again and repeat."""

    code = "storage-stale"


class Gone(StorageError):
    """Something this refers to was removed meanwhile."""

    code = "storage-gone"


class Spent(StorageError):
    """This can be used once, and was used, replaced or has expired meanwhile."""

    code = "storage-spent"


class VaultError(StorageError):
    """A stored secret cannot be opened: the encryption key is missing or is not the one that sealed it."""

    code = "vault"


@contextmanager
def after_effect() -> Iterator[None]:
    """Let what is written after the effect of a request fail as Uncertain: nobody is told that nothing was changed."""
    try:
        yield
    except Unavailable as error:
        raise Uncertain from error
