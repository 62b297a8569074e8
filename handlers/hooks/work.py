"""What the commands of hooks ask of the server beside finding them: writing one, trying one, its history."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol  # Any: bodies of events are parsed JSON

from handlers.errors import Fault
from handlers.hooks.wish import Wish
from handlers.services import Need
from storage.clock import Millis
from storage.ids import IntegrationId
from storage.records.changes import Changes
from storage.records.delivery import Attempt
from storage.records.event import EventKind
from storage.records.hook_request import HookRequest
from storage.records.integration import Direction, Hook, IncomingHook, OutgoingHook


class HookWork(Protocol):
    """Makes and changes hooks with the caller's rights (`rocketchat.md` §4); each write holds `also` or does not be."""

    def address(self, hook: IncomingHook) -> str:
        """Return where senders post to; it holds the token."""
        ...

    async def judge(self, way: Direction, hook: Hook | None, wish: Wish) -> Hook | Fault:
        """Return what a new hook (None) or this one would be as wished, or why not, without writing anything."""
        ...

    async def make(self, way: Direction, hook_id: IntegrationId, wish: Wish, also: Changes) -> Hook | Fault: ...

    async def change(self, hook: Hook, wish: Wish, also: Changes) -> Hook | Fault:
        """Change a hook at the version seen."""
        ...

    async def judge_adoption(self, hook: Hook, holder: str | None, post_as: str | None) -> Hook | Fault:
        """Return what `adopt` would make of a hook, or why not, without writing anything."""
        ...

    async def adopt(self, hook: Hook, holder: str | None, post_as: str | None, also: Changes) -> Hook | Fault:
        """Let a hook run with the rights of a user, the caller unless named, and post as another one if named."""
        ...

    async def rotate(self, hook: Hook, keep_until: Millis | None, also: Changes) -> Hook | Fault:
        """Give a hook a new token, and a signed outgoing one a new key; the old one of an incoming hook works on."""
        ...


@dataclass(frozen=True, slots=True)
class Posted:
    """What a test or a replay has put where."""

    rooms: tuple[str, ...]
    message_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Called:
    """One attempt with where it went: scheme, host and port only (decision 31)."""

    attempt: Attempt
    address: str | None
    """None once the address was removed."""


@dataclass(frozen=True, slots=True)
class MadeUp:
    """An event of a hook's kind that never happened, and what else a call of it is built from."""

    kind: EventKind
    body: Mapping[str, Any] = field(repr=False)
    site_url: str
    masked: bool = False
    """The caller is not in the room it is told of, so nothing of that room is in the body."""


class HookTrials(Protocol):
    """Runs hooks at a person's wish, and remembers what ran."""

    async def post(self, hook: IncomingHook, body: object, mark: str, also: Changes) -> Posted | Fault:
        """Post a body as if it had come to the hook's address, `mark` before its text."""
        ...

    async def fire(self, hook: OutgoingHook, also: Changes) -> int | Fault:
        """Queue a made-up event of the hook's kind for each of its addresses; returns how many."""
        ...

    async def made_up(self, hook: OutgoingHook, text: str | None) -> MadeUp | Fault:
        """Return the event `fire` would queue, with this text where one is given; writes nothing."""
        ...

    async def requests(
        self, hook: IncomingHook, *, since: Millis | None, failed: bool, offset: int, count: int
    ) -> tuple[Sequence[HookRequest], int]:
        """Return a page of what came to a hook, newest first, and how much there is."""
        ...

    async def calls(
        self, hook: OutgoingHook, *, since: Millis | None, failed: bool, offset: int, count: int
    ) -> tuple[Sequence[Called], int]:
        """Return a page of a hook's attempts, newest first, and how many there are."""
        ...

    async def request(self, hook: IncomingHook, request_id: str) -> HookRequest | None: ...
    async def call(self, hook: OutgoingHook, attempt_id: str) -> Attempt | None: ...

    async def post_again(self, hook: IncomingHook, request: HookRequest, mark: str, also: Changes) -> Posted | Fault:
        """Format a kept request again and post it, `mark` before its text."""
        ...

    async def call_again(self, hook: OutgoingHook, attempt: Attempt, also: Changes) -> Fault | None:
        """Run the event of an attempt again (`rocketchat.md` §8)."""
        ...


HOOK_WORK: Need[HookWork] = Need("hook-work")
HOOK_TRIALS: Need[HookTrials] = Need("hook-trials")
