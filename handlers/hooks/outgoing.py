"""`out add` and `out edit`: what an outgoing hook can be told, and what its maker learns once (commands.md §2.2)."""

from dataclasses import replace
from typing import Any, Final

from handlers.command import Audience, Call, Command, Plan
from handlers.hooks.given import (
    EMPTY,
    EXPIRES,
    LOOKS,
    NEW_NAME,
    POST_AS,
    RENAME,
    cleared,
    clearing,
    rooms,
    shared,
)
from handlers.hooks.making import Told, adding, editing
from handlers.hooks.naming import typable
from handlers.hooks.wish import Wish
from handlers.line import Problem, ProblemKind
from handlers.listing import REFERENCE_ARGUMENT, Wording, find_hook, masked_address
from handlers.outgoing.events import OutgoingEvent
from handlers.outgoing.retries import DELAYS
from handlers.permissions import FULL, OWN
from handlers.slots import Flag
from handlers.values import ValueType
from storage.ids import ROCKET_CAT, hook_token
from storage.records.integration import Direction, Hook, OutgoingHook
from storage.records.user import Role

RETRIES: Final = 6
"""Chat creates with six tries and growing waits (decision 42)."""

MOST_RETRIES: Final = 10

URL = Flag(
    name="url",
    summary="what it calls; it often holds a key",
    type=ValueType.TEXT,
    metavar="URL",
    secret=True,
)
REQUIRED_URL = replace(URL, required=True)
EVENT = Flag(
    name="event",
    summary="what fires it",
    type=ValueType.TEXT,
    metavar="EVENT",
    choices=tuple(event.value for event in OutgoingEvent),
)
TRIGGER = Flag(name="trigger", summary="words a message must begin with", type=ValueType.LIST, metavar="WORD,…")
ANYWHERE = Flag(name="anywhere", summary="the word may stand anywhere in the message")
ON_EDITS = Flag(name="on-edits", summary="edited messages fire it too")
TARGET = Flag(name="target-room", summary="where answers to userCreated go", type=ValueType.ROOM, metavar="#ROOM")
TRIES = Flag(name="retries", summary="tries after a failed call", type=ValueType.NUMBER, metavar=str(RETRIES))
RETRY = Flag(name="retry", summary="--no-retry gives up after one failed call")
DELAY = Flag(name="retry-delay", summary="waits between tries", type=ValueType.TEXT, metavar=DELAYS[0], choices=DELAYS)
TOKEN = Flag(
    name="token", summary="what calls carry as token; made unless given", type=ValueType.TEXT, metavar="?", secret=True
)
SIGN = Flag(name="sign", summary="signs calls as Standard Webhooks; the key is shown once")
ORDERED = Flag(name="ordered", summary="one call at a time, in order")
_SHARED = (TRIGGER, ANYWHERE, ON_EDITS, TARGET, TRIES, RETRY, DELAY, TOKEN, SIGN, ORDERED, POST_AS, EXPIRES, *LOOKS)
_CLEARED: dict[str, tuple[str, Any]] = {  # Any: the empty value of each field
    **EMPTY,
    "room": ("rooms", ()),
    "trigger": ("triggers", ()),
    "target-room": ("target_room", ""),
}


def made_and_changed(wording: Wording) -> tuple[Command, ...]:
    """Return both commands."""

    async def add(call: Call) -> Plan | Problem:
        wish = _wish(call)
        if isinstance(wish, Problem):
            return wish
        if problem := _unfit(call, wish, wish.event or ""):
            return problem
        wish = replace(
            wish,
            post_as=wish.post_as or ROCKET_CAT,
            retries=RETRIES if wish.retries is None else wish.retries,
            retry_delay=wish.retry_delay or DELAYS[0],
            token=wish.token or hook_token(),
            sign=wish.sign or None,
            triggers=wish.triggers or (),
            anywhere=wish.anywhere or False,
            on_edits=wish.on_edits or False,
        )
        return await adding(call, wording, wish, _told_of_new, does=_does)

    async def edit(call: Call) -> Plan | Problem:
        wish = _wish(call)
        wish = wish if isinstance(wish, Problem) else cleared(call, wish, _CLEARED)
        if isinstance(wish, Problem):
            return wish
        hook = await find_hook(call, wording)
        event = wish.event or (hook.event if isinstance(hook, OutgoingHook) else "")
        return _unfit(call, wish, event) or await editing(call, wording, wish, _told_of_change)

    permissions = frozenset({FULL[Direction.OUTGOING], OWN[Direction.OUTGOING]})
    return (
        Command(
            noun=wording.noun,
            verb="add",
            summary="makes an outgoing hook; its token is shown once",
            role=Role.EDITOR,
            permissions=permissions,
            audience=Audience.CALLER_AND_NOTE,
            writes=True,
            shows_secret=True,
            arguments=(NEW_NAME,),
            flags=(
                replace(EVENT, required=True),
                REQUIRED_URL,
                rooms("where it listens; every public room unless said"),
                *_SHARED,
            ),
            examples=(
                "out add ops-bot --event sendMessage --room #ops --trigger !deploy --url ?",
                "out add audit --event roomCreated --url ? --sign --ordered --retries 3",
            ),
            run=add,
        ),
        Command(
            noun=wording.noun,
            verb="edit",
            summary="changes an outgoing hook; what is not named stays",
            role=Role.EDITOR,
            permissions=permissions,
            audience=Audience.CALLER_AND_NOTE,
            writes=True,
            shows_secret=True,
            arguments=(REFERENCE_ARGUMENT,),
            flags=(rooms("where it listens from now on"), RENAME, EVENT, URL, *_SHARED, clearing(*_CLEARED)),
            examples=("out edit ops-bot --trigger !deploy,!rollback", "out edit ops-bot --url ? --no-retry"),
            run=edit,
        ),
    )


def _wish(call: Call) -> Wish | Problem:
    values, wish = call.values, shared(call)
    if isinstance(wish, Problem):
        return wish
    retries = _retries(call)
    if isinstance(retries, Problem):
        return retries
    urls = values.secret(URL.name)
    return replace(
        wish,
        event=values.text(EVENT.name),
        urls=None if urls is None else tuple(urls.split()),
        target_room=values.text(TARGET.name),
        triggers=values.texts(TRIGGER.name) or None,
        anywhere=values.switched(ANYWHERE.name),
        on_edits=values.switched(ON_EDITS.name),
        retries=retries,
        retry_delay=values.text(DELAY.name),
        token=values.secret(TOKEN.name),
        sign=values.switched(SIGN.name),
        ordered=values.switched(ORDERED.name),
    )


def _retries(call: Call) -> int | Problem | None:
    values = call.values
    count, wanted = values.number(TRIES.name), values.switched(RETRY.name)
    text = ""
    if count is not None and count > MOST_RETRIES:
        text = f"retries takes at most {MOST_RETRIES}: the waits between them grow."
    elif count is not None and wanted is False:
        text = "--no-retry and --retries contradict each other."
    if text:
        return Problem(
            kind=ProblemKind.INVALID,
            text=text,
            span=values.span(TRIES.name),
            allowed=f"--retries 1 to {MOST_RETRIES}, or --no-retry",
            next=f"help {call.command.words}",
        )
    return count if wanted is None or count is not None else RETRIES if wanted else 0


def _unfit(call: Call, wish: Wish, name: str) -> Problem | None:
    """Refuse what the event would ignore; REST drops it silently, a person should hear of it."""
    if name not in EVENT.choices:
        return None
    event = OutgoingEvent(name)
    text, flag = "", ""
    if wish.rooms and not event.uses_channels:
        text, flag = f"{event.value} is heard from everywhere; leave --room out.", "room"
    elif wish.triggers and not event.uses_trigger_words:
        text, flag = f"Only messages have trigger words; leave --trigger out of {event.value}.", TRIGGER.name
    elif wish.target_room and not event.uses_target_room:
        text, flag = f"{event.value} answers where it happens; leave --target-room out.", TARGET.name
    if not text:
        return None
    return Problem(kind=ProblemKind.INVALID, text=text, span=call.values.span(flag), next=f"help {call.command.words}")


def _does(hook: Hook) -> str:
    if not isinstance(hook, OutgoingHook):
        return ""
    where = f" in {', '.join(hook.channels) or 'every public room'}" if OutgoingEvent(hook.event).uses_channels else ""
    words = f" beginning with {', '.join(hook.trigger_words)}" if hook.trigger_words else ""
    return f"calls {', '.join(map(masked_address, hook.urls))} on {hook.event}{where}{words}"


async def _told_of_new(call: Call, hook: Hook, wish: Wish) -> Told:
    root, name = call.context.root, await typable(call, hook)
    own_token = call.values.secret(TOKEN.name) is not None
    once = once_shown(hook, token=not own_token, key=wish.sign is True)
    following = f"Next: {root} out test {name}   ·   Change: {root} out edit {name} --trigger !word"
    return Told((*once, following), secret=bool(once), public=_public(call, hook) if once else None)


async def _told_of_change(call: Call, hook: Hook, wish: Wish) -> Told:
    once = once_shown(hook, token=False, key=wish.sign is True)
    return Told(once, secret=bool(once), public=_public(call, hook) if once else None)


def once_shown(hook: Hook, *, token: bool, key: bool) -> tuple[str, ...]:
    """Write what receivers check calls with, the only time it is shown."""
    if not isinstance(hook, OutgoingHook):
        return ()
    lines = (f"Token (shown once): {hook.token}      (calls carry it as token)",) if token and hook.token else ()
    if not (key and hook.signing_keys):
        return lines
    others = "; the key before is good for another 24 h" if len(hook.signing_keys) > 1 else ""
    return (*lines, f"Signing key (shown once): {hook.signing_keys[0].key}{others}")


def _public(call: Call, hook: Hook) -> str:
    return f"What receivers of {hook.name} check calls with was sent to @{call.actor.username} directly."
