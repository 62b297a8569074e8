"""`dead`: deliveries that failed for good, queued again or given up (commands.md §2.2, delivery.md §6)."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from handlers.answers import ROWS, done, moment, plural
from handlers.command import Answer, Audience, Call, Command, Confirm, Noun, Plan, Thing
from handlers.deliveries import (
    DELIVERIES,
    OF_OUTGOING,
    Wanted,
    find_hook_named,
    no_such_delivery,
    read_id,
    rows_of,
    written_id,
)
from handlers.line import Problem, ProblemKind, one_line
from handlers.listing import note_of, rooms_of
from handlers.paging import listed, offset_of
from handlers.services import HOOKS
from handlers.slots import Argument, Flag
from handlers.values import ValueType
from storage.ids import DeliveryId, IntegrationId
from storage.records.changes import Changes
from storage.records.delivery import DeliveryState
from storage.records.integration import Hook, OutgoingHook
from storage.records.user import Role

ASK_ABOVE = 10
"""More than this many are queued again or discarded only after a question."""

_FEW = 3
"""Hooks that are named one by one."""

_REFS = "REF"
_ALL = "all"


async def _list(call: Call) -> Answer | Problem:
    context, desk = call.context, call.services.of(DELIVERIES)
    wanted = Wanted(state=DeliveryState.DEAD, reason=call.values.text("reason"))
    if text := call.values.text("out"):
        hook = await find_hook_named(call, "out", text, (OutgoingHook,))
        if isinstance(hook, Problem):
            return hook
        wanted = Wanted(state=DeliveryState.DEAD, reason=wanted.reason, hook_id=hook.id)
    shown, total = await desk.page(wanted, offset=offset_of(call), count=ROWS)
    summary = f"{total:,} dead"
    if total:
        [oldest], _ = await desk.page(wanted, offset=total - 1, count=1)
        summary += f", oldest {moment(oldest.delivery.created_at, now=context.now, zone=context.zone)}"
    return listed(call, summary, rows_of(shown, context), total=total)


async def _retry(call: Call) -> Plan | Problem:
    chosen = await _chosen(call)
    if isinstance(chosen, Problem):
        return chosen
    desk, root, ids = call.services.of(DELIVERIES), call.context.root, chosen.ids
    many = f"{plural(len(ids), 'dead letter')}{chosen.whose}"

    async def apply(also: Changes) -> Answer | Problem:
        queued = await desk.retry_dead(ids, also)
        if not queued:
            text = "None of them is dead any more, or has its hook and address left to go to."
            return Problem(kind=ProblemKind.CONFLICT, text=text, next="dead list")
        left = len(ids) - queued
        why = f" {left:,} had no hook or address left to go to, or were queued already." if left else ""
        follow = f"delivery show {written_id(ids[0])}" if len(ids) == 1 or not left else "delivery list --status queued"
        text = f"Queued {queued:,} again.{why} Follow: {root} {follow}"
        return done(text, data={"queued": queued, "left": left})

    off = any(not hook.enabled for hook in chosen.hooks)
    held = " Those of hooks that are off wait until they are on again." if off else ""
    return Plan(
        title=f"Queue {many} again",
        effects=f"Each gets all its tries again.{held}",
        thing=_one(ids),
        apply=apply,
        confirm=_needs(ids),
        note=note_of(call, f"queued {many} again"),
        channels=chosen.rooms,
    )


async def _discard(call: Call) -> Plan | Problem:
    chosen = await _chosen(call)
    if isinstance(chosen, Problem):
        return chosen
    desk, root, ids = call.services.of(DELIVERIES), call.context.root, chosen.ids
    many = f"{plural(len(ids), 'dead letter')}{chosen.whose}"

    async def apply(also: Changes) -> Answer | Problem:
        discarded = await desk.discard_dead(ids, also)
        if not discarded:
            return Problem(kind=ProblemKind.CONFLICT, text="None of them is dead any more.", next="dead list")
        left = len(ids) - discarded
        why = f" {left:,} were queued again meanwhile." if left else ""
        text = f"Discarded {plural(discarded, 'dead letter')}.{why}\nNext: {root} dead list"
        return done(text, data={"discarded": discarded, "left": left})

    return Plan(
        title=f"Discard {many}",
        effects="What they carried is not sent any more; this cannot be undone.",
        thing=_one(ids) or _several(ids),
        apply=apply,
        confirm=_needs(ids),
        note=note_of(call, f"discarded {many}"),
        channels=chosen.rooms,
    )


# --- which ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Chosen:
    """Dead letters that are meant, with what is to be said of their hooks."""

    ids: list[DeliveryId]
    hook_ids: frozenset[IntegrationId]
    hooks: tuple[Hook, ...]
    """Those that are still there."""

    @property
    def whose(self) -> str:
        """Say of which hooks they are, unless those are many."""
        gone = len(self.hook_ids) - len(self.hooks)
        names = [*(one_line(hook.name) for hook in self.hooks), *([plural(gone, "removed hook")] if gone else [])]
        return f" of {', '.join(names)}" if len(names) <= _FEW else f" of {plural(len(self.hook_ids), 'hook')}"

    @property
    def rooms(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(room for hook in self.hooks for room in rooms_of(hook)))


async def _chosen(call: Call) -> _Chosen | Problem:
    """Return which dead letters are meant, each once."""
    references, everything = call.values.texts(_REFS), call.values.switch(_ALL)
    if everything == bool(references):
        return Problem(
            kind=ProblemKind.USAGE,
            text="Name dead letters or a hook, or say --all." if not everything else "--all leaves nothing to name.",
            span=call.values.span(_REFS if everything else _ALL),
            allowed="dlv_91, #n of your last list here, an outgoing hook for all of its, or --all",
            next="dead list",
        )
    chosen: dict[DeliveryId, IntegrationId] = {}
    for reference in references or (None,):
        letters = await _named(call, reference)
        if isinstance(letters, Problem):
            return letters
        chosen.update(letters)
    if not chosen:
        what = f"of {one_line(references[0])} " if len(references) == 1 else ""
        return Problem(kind=ProblemKind.UNKNOWN, text=f"There are no dead letters {what}here.", next="dead list")
    owning = frozenset(chosen.values())
    return _Chosen(list(chosen), owning, tuple(await call.services.of(HOOKS).these(owning)))


async def _named(call: Call, reference: str | None) -> Mapping[DeliveryId, IntegrationId] | Problem:
    """Return the dead letters one reference means; none means all."""
    desk = call.services.of(DELIVERIES)
    if reference is None:
        return await desk.changeable(Wanted(state=DeliveryState.DEAD))
    number = read_id(reference)
    if number is None:
        hook = await find_hook_named(call, _REFS, reference, (OutgoingHook,), whole=True)
        if isinstance(hook, Problem):
            return hook
        return await desk.changeable(Wanted(state=DeliveryState.DEAD, hook_id=hook.id))
    shown = await desk.one(number)
    if shown is None or not desk.may_change(shown):
        return no_such_delivery(call, _REFS, reference)
    if shown.delivery.state is DeliveryState.DEAD:
        return {number: shown.delivery.integration_id}
    return Problem(
        kind=ProblemKind.CONFLICT,
        text=f"{reference} is no dead letter; it is {shown.delivery.state}.",
        span=call.values.span(_REFS),
        allowed="deliveries that are dead",
        next=f"delivery show {reference}",
    )


def _needs(ids: Sequence[DeliveryId]) -> Confirm:
    return Confirm.BUTTON if len(ids) > ASK_ABOVE else Confirm.NONE


def _one(ids: Sequence[DeliveryId]) -> Thing | None:
    ref = written_id(ids[0])
    return Thing(kind="delivery", id=ref, name=ref) if len(ids) == 1 else None


def _several(ids: Sequence[DeliveryId]) -> Thing:
    """Return a thing that is another one as soon as it holds others: nobody discards more than they were told."""
    digest = hashlib.blake2b(repr(sorted(ids)).encode(), digest_size=8).hexdigest()
    return Thing(kind="dead letters", id=digest, name=plural(len(ids), "dead letter"))


_WHICH = Argument(
    name=_REFS,
    summary="dlv_91, #n of your last list here, or an outgoing hook for all of its",
    type=ValueType.REFERENCE,
    required=False,
    repeated=True,
    offers="out",
)
_EVERYTHING = Flag(name=_ALL, summary="all dead letters of the hooks you may change")

NOUN: Noun = Noun(
    name="dead",
    summary="deliveries that failed for good",
    aliases=("dlq",),
    alone=("dlq",),
    commands=(
        Command(
            noun="dead",
            verb="list",
            summary="lists dead letters of the hooks you may see, the newest first",
            role=Role.VIEWER,
            flags=(
                Flag(
                    name="reason",
                    summary="only those that died of this: a part of the reason, such as 400 or expired",
                    type=ValueType.TEXT,
                    metavar="TEXT",
                ),
                OF_OUTGOING,
            ),
            pages=True,
            examples=("dead list", "dead list --reason 400"),
            run=_list,
        ),
        Command(
            noun="dead",
            verb="retry",
            summary="queues dead letters again, each with all its tries",
            role=Role.EDITOR,
            audience=Audience.CALLER_AND_NOTE,
            writes=True,
            confirm=Confirm.BUTTON,
            confirm_when=f"over {ASK_ABOVE}",
            arguments=(_WHICH,),
            flags=(_EVERYTHING,),
            examples=("dead retry #1 #2", "dead retry ops-bot", "dead retry --all"),
            run=_retry,
        ),
        Command(
            noun="dead",
            verb="discard",
            summary="gives dead letters up for good",
            role=Role.EDITOR,
            audience=Audience.CALLER_AND_NOTE,
            writes=True,
            confirm=Confirm.BUTTON,
            confirm_when=f"over {ASK_ABOVE}",
            arguments=(_WHICH,),
            flags=(_EVERYTHING,),
            examples=("dead discard dlv_91", "dead discard --all"),
            run=_discard,
        ),
    ),
    needs=(HOOKS, DELIVERIES),
)
