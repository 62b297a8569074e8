"""`delivery`: what is on its way to receivers, what became of it, and trying it at once (commands.md §2.2)."""

from handlers.answers import ROWS, done, moment, plural, until
from handlers.command import Answer, Audience, Call, Command, Noun, Plan, Thing
from handlers.deliveries import (
    DELIVERIES,
    OF_OUTGOING,
    Shown,
    Wanted,
    event_name,
    find_delivery,
    find_hook_named,
    hook_name,
    host_of,
    no_such_delivery,
    rows_of,
    written_id,
)
from handlers.line import Problem, ProblemKind, one_line
from handlers.listing import note_of, rooms_of
from handlers.outgoing.history import shown_answer, shown_error
from handlers.paging import listed, offset_of
from handlers.services import HOOKS
from handlers.slots import Argument, Flag
from handlers.values import ValueType
from storage.clock import Millis
from storage.records.changes import Changes
from storage.records.delivery import Attempt, DeliveryState
from storage.records.integration import Hook, IncomingHook, OutgoingHook, is_expired
from storage.records.user import Role

_ID = "ID"
_ANSWER = 200
"""Characters of a receiver's answer that are shown."""


async def _list(call: Call) -> Answer | Problem:
    wanted = await _wanted(call)
    if isinstance(wanted, Problem):
        return wanted
    shown, total = await call.services.of(DELIVERIES).page(wanted, offset=offset_of(call), count=ROWS)
    return listed(call, plural(total, "delivery", "deliveries"), rows_of(shown, call.context), total=total)


async def _wanted(call: Call) -> Wanted | Problem:
    """Return what the flags ask for."""
    hooks: dict[str, Hook | None] = {"in": None, "out": None}
    kinds: dict[str, type[Hook]] = {"in": IncomingHook, "out": OutgoingHook}
    for flag, kind in kinds.items():
        if text := call.values.text(flag):
            hook = await find_hook_named(call, flag, text, (kind,))
            if isinstance(hook, Problem):
                return hook
            hooks[flag] = hook
    status, since = call.values.text("status"), call.values.number("since")
    return Wanted(
        hook_id=hooks["out"].id if hooks["out"] else None,
        made_by=hooks["in"].id if hooks["in"] else None,
        state=DeliveryState(status) if status else None,
        since=None if since is None else Millis(since),
    )


async def _show(call: Call) -> Answer | Problem:
    shown = await find_delivery(call, _ID)
    if isinstance(shown, Problem):
        return shown
    context, one = call.context, shown.delivery
    facts = [
        ("state", one.state.value),
        *([("why", one_line(one.reason, 200))] if one.reason else []),
        ("hook", f"{hook_name(shown)} ({one.integration_id})" if shown.hook else hook_name(shown)),
        ("event", event_name(shown)),
        ("calls", host_of(shown)),
        *([("webhook-id", one.webhook_id)] if _is_signed(shown) else []),
        ("made", moment(one.created_at, now=context.now, zone=context.zone)),
        ("tries", str(one.tries)),
        *([("next try", _next_try(shown, call))] if one.state is DeliveryState.QUEUED else []),
    ]
    earlier = len(shown.attempts) - ROWS
    attempts = [_attempt(number, each, call) for number, each in enumerate(shown.attempts, 1)][-ROWS:]
    lines = [
        f"Delivery {written_id(one.id)}",
        *(f"{name}: {value}" for name, value in facts),
        *([f"{plural(earlier, 'earlier attempt')} not shown"] if earlier > 0 else []),
        *attempts,
        f"Next: {context.root} {_following(shown)}",
    ]
    data = {"id": written_id(one.id), **dict(facts), "attempts": [_plain(each) for each in shown.attempts]}
    return Answer("\n".join(lines), data=data)


def _is_signed(shown: Shown) -> bool:
    """Tell whether its calls carry the headers of Standard Webhooks, by which a receiver's log can be searched."""
    return isinstance(shown.hook, OutgoingHook) and bool(shown.hook.signing_keys)


def _next_try(shown: Shown, call: Call) -> str:
    """Say when a waiting delivery is tried."""
    now, at = call.context.now, shown.delivery.available_at
    if held := _held(shown, call):
        return held
    return "now" if at <= now else until(at, now=now, zone=call.context.zone)


def _held(shown: Shown, call: Call) -> str | None:
    """Say why a delivery waits whatever its time is (decision 14)."""
    hook = shown.hook
    if hook is None or (hook.enabled and not is_expired(hook, call.context.now)):
        return None
    return f"not while its hook is {'expired' if hook.enabled else 'off'}"


def _following(shown: Shown) -> str:
    ref = written_id(shown.delivery.id)
    match shown.delivery.state:
        case DeliveryState.QUEUED:
            return f"delivery retry {ref}"
        case DeliveryState.DEAD:
            return f"dead retry {ref}"
        case _:
            return "delivery list"


def _attempt(number: int, one: Attempt, call: Call) -> str:
    """Write an attempt in a line: when, what came of it, how long it took, what the receiver said."""
    when = moment(one.started_at, now=call.context.now, zone=call.context.zone)
    verdict = str(one.status) if one.status is not None else "no answer" if one.called else "not called"
    parts = [f"attempt {number}: {when}", verdict, f"{one.duration_ms:,} ms"]
    parts += [one_line(text, _ANSWER) for text in (shown_error(one), _said(one)) if text]
    return " · ".join(parts)


def _said(one: Attempt) -> str | None:
    """Return what the receiver answered, without what may be secret in it."""
    said = shown_answer(one)
    return f"answer: {said}" if said else None


def _plain(one: Attempt) -> dict[str, object]:
    return {
        "at": one.started_at,
        "durationMs": one.duration_ms,
        "status": one.status,
        "error": shown_error(one),
        "answer": shown_answer(one),
        "failed": one.failed,
    }


async def _retry(call: Call) -> Plan | Problem:
    shown = await find_delivery(call, _ID)
    if isinstance(shown, Problem):
        return shown
    desk, ref = call.services.of(DELIVERIES), written_id(shown.delivery.id)
    if not desk.may_change(shown):
        return no_such_delivery(call, _ID, ref)
    if problem := _over(shown, call):
        return problem
    dead = shown.delivery.state is DeliveryState.DEAD

    async def apply(also: Changes) -> Answer | Problem:
        one = shown.delivery.id
        moved = await desk.retry_dead([one], also) if dead else await desk.hasten(one, also)
        if not moved:
            return _moved_on(ref, dead=dead)
        text = f"Queued {ref} again" if dead else f"{ref} is tried now"
        return done(f"{text}.\nFollow: {call.context.root} delivery show {ref}", data={"id": ref})

    return Plan(
        title=f"{'Queue' if dead else 'Try'} {ref} of {hook_name(shown)} {'again' if dead else 'now'}",
        effects=_effects(shown, call),
        thing=Thing(kind="delivery", id=ref, name=ref),
        apply=apply,
        note=note_of(call, f"retried {ref} of {hook_name(shown)}"),
        channels=rooms_of(shown.hook) if shown.hook else (),
    )


def _over(shown: Shown, call: Call) -> Problem | None:
    """Refuse what has ended well or was given up, and what a hook that is off holds."""
    ref, state = written_id(shown.delivery.id), shown.delivery.state
    if state is DeliveryState.DELIVERED:
        text, following = f"{ref} was delivered.", f"out history {shown.delivery.integration_id}"
    elif state is DeliveryState.DISCARDED:
        text, following = f"{ref} was discarded: {one_line(shown.delivery.reason or '', 80)}.", "delivery list"
    elif state is DeliveryState.DEAD and shown.url is None:
        text, following = f"{ref} has nowhere to go: its hook or address was removed.", f"dead discard {ref}"
    elif state is DeliveryState.QUEUED and (held := _held(shown, call)) and shown.hook:
        text, following = f"{ref} is tried {held}; it waits.", f"out enable {shown.hook.id}"
    else:
        return None
    return Problem(
        kind=ProblemKind.CONFLICT,
        text=text,
        span=call.values.span(_ID),
        allowed="a delivery that waits, or a dead one",
        next=following,
    )


def _moved_on(ref: str, *, dead: bool) -> Problem:
    text = f"{ref} is no longer dead." if dead else f"{ref} is being tried at this moment, or just ended."
    return Problem(kind=ProblemKind.CONFLICT, text=text, next=f"delivery show {ref}")


def _effects(shown: Shown, call: Call) -> str:
    if shown.delivery.state is DeliveryState.QUEUED:
        return "It counts as one of its tries."
    waits = f" It waits: {held}." if (held := _held(shown, call)) else ""
    return f"It gets all its tries again.{waits}"


_ARGUMENT = Argument(name=_ID, summary="such as dlv_91, or #n of your last list here", type=ValueType.REFERENCE)

NOUN: Noun = Noun(
    name="delivery",
    summary="what goes to receivers, and what became of it",
    aliases=("deliveries", "log"),
    alone=("deliveries", "log"),
    commands=(
        Command(
            noun="delivery",
            verb="list",
            summary="lists deliveries of the hooks you may see, the newest first",
            role=Role.VIEWER,
            flags=(
                Flag(
                    name="in",
                    summary="only what posts of an incoming hook caused",
                    type=ValueType.REFERENCE,
                    metavar="REF",
                    offers="in",
                ),
                OF_OUTGOING,
                Flag(
                    name="status",
                    summary="only those that stand so",
                    type=ValueType.TEXT,
                    metavar="STATUS",
                    choices=tuple(state.value for state in DeliveryState),
                ),
                Flag(name="since", summary="only those queued since then", type=ValueType.TIME, metavar="TIME"),
            ),
            pages=True,
            examples=("delivery list", "delivery list --out ops-bot --status dead", "deliveries --since -2h"),
            run=_list,
        ),
        Command(
            noun="delivery",
            verb="show",
            summary="shows one delivery: every attempt with its time and verdict, and the next try",
            role=Role.VIEWER,
            arguments=(_ARGUMENT,),
            examples=("delivery show dlv_91", "delivery show #2"),
            run=_show,
        ),
        Command(
            noun="delivery",
            verb="retry",
            summary="tries a waiting delivery now, or queues a dead one again",
            role=Role.EDITOR,
            audience=Audience.CALLER_AND_NOTE,
            writes=True,
            arguments=(_ARGUMENT,),
            examples=("delivery retry dlv_91",),
            run=_retry,
        ),
    ),
    needs=(HOOKS, DELIVERIES),
)
