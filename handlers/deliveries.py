"""Deliveries as commands see them: what they ask of the queue, how one is found, and how it is written in a row."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from handlers.answers import moment, plural
from handlers.command import Call, CommandContext
from handlers.line import Problem, ProblemKind, one_line
from handlers.listing import ambiguous, masked_address
from handlers.paging import Row
from handlers.services import HOOKS, Need
from handlers.slots import Flag
from handlers.values import ValueType
from storage.clock import Millis
from storage.ids import DeliveryId, IntegrationId
from storage.records.changes import Changes
from storage.records.delivery import Attempt, Delivery, DeliveryState
from storage.records.event import EventKind
from storage.records.integration import Direction, Hook, IncomingHook, OutgoingHook

_WAYS: Final = {IncomingHook: Direction.INCOMING, OutgoingHook: Direction.OUTGOING}

LONGEST_ID = 18
"""Digits that fit the store's numbers whatever they are."""
_PREFIX = "dlv_"


@dataclass(frozen=True, slots=True)
class Shown:
    """A delivery with what a person wants to know of it."""

    delivery: Delivery
    hook: Hook | None
    """None once it was removed."""
    url: str | None
    """The address it goes to; None once that was removed from the hook."""
    event: EventKind | None
    """What happened; None once that left the stream."""
    attempts: tuple[Attempt, ...]
    """Oldest first; they are kept 30 days, dead letters 90 (decision 33)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which deliveries are meant; None leaves a condition out."""

    hook_id: IntegrationId | None = None
    """The outgoing hook they belong to."""
    made_by: IntegrationId | None = None
    """The incoming hook whose posts caused them, as far as its requests are still kept (decision 33)."""
    state: DeliveryState | None = None
    since: Millis | None = None
    reason: str | None = None
    """A part of why they stand as they do, whatever its case."""


class DeliveryDesk(Protocol):
    """Deliveries of the hooks the caller may see; to whoever sees all of them, also those of removed hooks.

    Times are those of the wall clock. Who may change a hook may retry and discard what it has.
    """

    async def page(self, wanted: Wanted, *, offset: int, count: int) -> tuple[Sequence[Shown], int]:
        """Return a page, newest first, and how many there are in all."""
        ...

    async def one(self, delivery_id: DeliveryId) -> Shown | None:
        """Return one delivery; None also for one the caller may not see."""
        ...

    async def changeable(self, wanted: Wanted) -> Mapping[DeliveryId, IntegrationId]:
        """Return those the caller may retry and discard with their hooks, oldest first: the order to queue them in."""
        ...

    def may_change(self, shown: Shown) -> bool: ...

    async def retry_dead(self, delivery_ids: Sequence[DeliveryId], also: Changes) -> int:
        """Queue dead letters again; returns how many had somewhere to go. `also` is written unless it was none."""
        ...

    async def discard_dead(self, delivery_ids: Sequence[DeliveryId], also: Changes) -> int:
        """Give dead letters up for good; returns how many were dead. `also` is written unless it was none."""
        ...

    async def hasten(self, delivery_id: DeliveryId, also: Changes) -> bool:
        """Let a waiting delivery be tried now; False when it no longer waits, and then nothing is written."""
        ...


OF_OUTGOING = Flag(
    name="out",
    summary="only those of an outgoing hook",
    type=ValueType.REFERENCE,
    metavar="REF",
    offers="out",
)
"""Declared by every list of deliveries."""

DELIVERIES: Need[DeliveryDesk] = Need("deliveries")


def written_id(delivery_id: DeliveryId) -> str:
    """Write an id so that it is not taken for a count or a hook."""
    return f"{_PREFIX}{delivery_id}"


def read_id(text: str) -> DeliveryId | None:
    """Read an id as it is written; None when the text is none."""
    number = text.removeprefix(_PREFIX)
    is_id = text.startswith(_PREFIX) and number.isascii() and number.isdigit() and len(number) <= LONGEST_ID
    return DeliveryId(int(number)) if is_id else None


async def find_delivery(call: Call, slot: str) -> Shown | Problem:
    """Return the delivery an argument names."""
    text = call.values.text(slot) or ""
    number = read_id(text)
    found = await call.services.of(DELIVERIES).one(number) if number is not None else None
    return found or no_such_delivery(call, slot, text)


def no_such_delivery(call: Call, slot: str, text: str) -> Problem:
    """Say the same whether a delivery is missing or hidden (commands.md §2.4)."""
    return Problem(
        kind=ProblemKind.UNKNOWN,
        text=f'There is no delivery "{one_line(text)}".',
        span=call.values.span(slot),
        allowed="the id of one you may see, such as dlv_91, or #n of your last list here",
        next=f"{call.command.noun} list",
    )


async def find_hook_named(
    call: Call, slot: str, text: str, kinds: Collection[type[Hook]], *, whole: bool = False
) -> Hook | Problem:
    """Return the hook of some kinds that a flag or argument names; `whole` refuses the beginning of a name."""
    way = _WAYS[next(iter(kinds))] if len(kinds) == 1 else None
    desk = call.services.of(HOOKS)
    found = await desk.find(text, way)
    if len(found.things) == 1 and not (found.by_prefix and whole):
        return found.things[0]
    if found.things:
        return ambiguous(text, found, call.values.span(slot), f"help {call.command.words}")
    words = {None: "hook", Direction.INCOMING: "incoming hook", Direction.OUTGOING: "outgoing hook"}
    return Problem(
        kind=ProblemKind.UNKNOWN,
        text=f'There is no {words[way]} "{one_line(text)}".',
        span=call.values.span(slot),
        suggestions=tuple(map(one_line, await desk.near(text, way))),
        allowed="the id or the name of one you may see",
        next="list",
    )


def rows_of(shown: Iterable[Shown], context: CommandContext) -> list[Row]:
    """Return rows in the fixed order of commands.md §2.3."""
    return [Row(written_id(each.delivery.id), _cells(each, context)) for each in shown]


def hook_name(shown: Shown) -> str:
    """Return what a delivery's hook is called."""
    return one_line(shown.hook.name) if shown.hook else f"removed hook {shown.delivery.integration_id}"


def host_of(shown: Shown) -> str:
    """Return where a delivery goes without what may be secret in it (decision 31)."""
    return masked_address(shown.url) if shown.url else "(address removed)"


def last_moment(shown: Shown) -> Millis:
    """Return when something last happened to a delivery."""
    return shown.attempts[-1].updated_at if shown.attempts else shown.delivery.created_at


def _cells(shown: Shown, context: CommandContext) -> dict[str, str]:
    one = shown.delivery
    what, reason = event_name(shown), one_line((one.reason or "").removesuffix("."), 60)
    return {
        "state": one.state.value,
        "name": hook_name(shown),
        "id": written_id(one.id),
        "place": one_line(host_of(shown), 60),
        "what": f"{what}: {reason}" if reason else what,
        "last traffic": moment(last_moment(shown), now=context.now, zone=context.zone),
        "failures": plural(one.tries, "try", "tries"),
    }


def event_name(shown: Shown) -> str:
    """Return what happened, in the words of the hook that was told."""
    if isinstance(shown.hook, OutgoingHook):
        return shown.hook.event
    return shown.event.value if shown.event else "an event"
