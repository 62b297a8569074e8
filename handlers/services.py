"""What commands ask of the running server: small protocols, each found by its typed key.

A noun states its protocol and a `Need` of it beside itself; the process provides one object for each need
(`bot/flows/desk/`). So a new noun adds no line to any list, and the type checker still knows what it gets.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, Protocol, TypeVar

from handlers.references import Found
from storage.clock import Millis
from storage.ids import IntegrationId
from storage.ports import Pendings
from storage.records.changes import Changes, Committed
from storage.records.integration import Direction, Hook, HookOutline, HookTally
from storage.records.queue import Counts
from storage.records.user import Role

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Need(Generic[T]):
    """The key a protocol is asked for by; one constant beside each protocol."""

    name: str


@dataclass(frozen=True, slots=True)
class Provided:
    """One need and what answers it."""

    need: Need[Any]  # Any: `provide` has checked that the two fit
    thing: object


def provide(need: Need[T], thing: T) -> Provided:
    """Answer a need; the type checker sees that the thing fits."""
    return Provided(need, thing)


class Services:
    """Everything one caller's commands may ask, on behalf of that caller."""

    def __init__(self, *provided: Provided) -> None:
        self._things: dict[str, Any] = {each.need.name: each.thing for each in provided}

    def of(self, need: Need[T]) -> T:
        """Return what answers a need; `KeyError` names one that nothing answers (checked at start)."""
        thing: T = self._things[need.name]
        return thing


@dataclass(frozen=True, slots=True)
class StatusFacts:
    """How the server does."""

    version: str
    counts: Counts
    hooks: HookTally
    """Those the caller sees."""
    failing: tuple[HookOutline, ...]
    """The first of them, by name, whose last call or request failed."""
    failing_count: int
    workspaces: tuple[str, ...] = ()
    """The other chats that are connected, by name."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """What passed through one hook lately."""

    last_at: Millis | None = None
    failures: int = 0
    old_token_calls: int = 0
    """How many requests still named the token of before the last rotation (commands.md §2.6)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HookFilter:
    """Which hooks a list shows; None leaves a condition out."""

    way: Direction | None = None
    channels: tuple[str, ...] | None = None
    """Any of them is named, whatever its case; `EVERYWHERE` for hooks that name none."""
    mine: bool = False
    silent: bool = False
    """Switched off, or expired."""


EVERY_HOOK: Final = HookFilter()


class HookDesk(Protocol):
    """Hooks of both directions, as the caller sees them (`permissions.visible`): there may be very many."""

    async def page(self, wanted: HookFilter, *, offset: int, count: int) -> tuple[Sequence[Hook], int]:
        """Return a page of hooks, by name, and how many match in all."""
        ...

    async def find(self, reference: str, way: Direction | None = None) -> Found[Hook]:
        """Return what a reference may mean, as `resolve` looks for it; of very many the first by name."""
        ...

    async def near(self, word: str, way: Direction | None = None) -> Sequence[str]:
        """Return the names a mistyped word was likely meant to be, as `nearest` ranks them."""
        ...

    async def has_namesake(self, hook: Hook) -> bool:
        """Tell whether another hook has the same name, whatever its case."""
        ...

    async def these(self, hook_ids: Collection[IntegrationId]) -> Sequence[Hook]:
        """Return the hooks with these ids, by name."""
        ...

    async def traffic(self, hook_ids: Sequence[IntegrationId]) -> Mapping[IntegrationId, Traffic]: ...

    async def remove_hook(self, hook: Hook, also: Changes) -> str | None:
        """Remove a hook at the version seen, and write `also` with it; return why not as a sentence, or None."""
        ...

    async def stops(self, hook: Hook) -> str | None:
        """Say whose rights are missing for a hook to work everywhere it should; None when none are."""
        ...

    async def queue_counts(self, hook_id: IntegrationId | None = None) -> Counts: ...


class Journal(Pendings, Protocol):
    """Where proposals, undo and effects without a transaction of their own are written."""

    async def commit(self, changes: Changes) -> Committed: ...


class PeopleDesk(Protocol):
    """Who there is."""

    async def holders(self, role: Role) -> Sequence[str]:
        """Return the user names of active people with at least this role."""
        ...


class StatusDesk(Protocol):
    """How the server does."""

    async def status(self) -> StatusFacts: ...


JOURNAL: Need[Journal] = Need("journal")
HOOKS: Need[HookDesk] = Need("hooks")
PEOPLE: Need[PeopleDesk] = Need("people")
STATUS: Need[StatusDesk] = Need("status")
