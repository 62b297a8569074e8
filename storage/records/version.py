"""The next version of a record: what a change puts in the place of the one it was made from."""

from dataclasses import replace
from typing import Any, Protocol, TypeVar

from msgspec import Struct, structs


class Versioned(Protocol):
    """A record that counts its changes."""

    @property
    def version(self) -> int: ...


T = TypeVar("T", bound=Versioned)


def revised(record: T, **changes: Any) -> T:  # Any: each change has the type of its field
    """Return a record with some fields changed and the version after this one, as a unit of work puts it."""
    following = {**changes, "version": record.version + 1}
    if isinstance(record, Struct):
        return structs.replace(record, **following)
    return replace(record, **following)  # type: ignore[type-var] # records that are no structs are dataclasses
