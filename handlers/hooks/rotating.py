"""`rotate-token`: a new token for a hook, shown once; an incoming hook takes the old one for a while (§2.6)."""

from collections.abc import Callable, Sequence

from handlers.answers import done, until
from handlers.command import Answer, Audience, Call, Command, Confirm, Plan
from handlers.errors import Fault
from handlers.hooks.naming import typable
from handlers.hooks.refused import refused
from handlers.hooks.work import HOOK_WORK
from handlers.line import Problem, ProblemKind, one_line
from handlers.listing import WHOLE_REFERENCE, Wording, managed_hook, note_of, rooms_of, thing_of
from handlers.permissions import FULL, OWN
from handlers.slots import Flag
from handlers.values import ValueType
from storage.clock import Millis
from storage.records.changes import Changes
from storage.records.integration import Hook, IncomingHook
from storage.records.user import Role

KEEP_MS = 24 * 60 * 60 * 1000

KEEP = Flag(
    name="keep-old", summary="how long the old token works on, 24h unless said", type=ValueType.DURATION, metavar="24h"
)
END = Flag(name="end-old", summary="ends the old token at once: for one that leaked")

Shown = Callable[[Call, Hook], Sequence[str]]
"""What of the rotated hook is shown this once."""


def rotation(wording: Wording, shown: Shown, effects: Callable[[Hook], str]) -> Command:
    """Return the command; `effects` says what an outgoing hook's receivers will notice."""

    async def rotate(call: Call) -> Plan | Problem:
        return await _rotate(call, wording, shown, effects)

    incoming = wording.noun == "in"
    return Command(
        noun=wording.noun,
        verb="rotate-token",
        summary=f"gives one {wording.one} a new token, shown once",
        role=Role.EDITOR,
        permissions=frozenset({FULL[wording.way], OWN[wording.way]}),
        audience=Audience.CALLER,
        writes=True,
        confirm=Confirm.BUTTON,
        shows_secret=True,
        arguments=(WHOLE_REFERENCE,),
        flags=(KEEP, END) if incoming else (),
        examples=(
            (f"{wording.noun} rotate-token ci", f"{wording.noun} rotate-token ci --keep-old 7d")
            if incoming
            else (f"{wording.noun} rotate-token ops-bot",)
        ),
        run=rotate,
    )


async def _rotate(call: Call, wording: Wording, shown: Shown, effects: Callable[[Hook], str]) -> Plan | Problem:
    hook = await managed_hook(call, wording)
    if isinstance(hook, Problem):
        return hook
    if call.values.switch(END.name) and call.values.number(KEEP.name):
        text = "The old token is either kept or ended, not both."
        return Problem(kind=ProblemKind.USAGE, text=text, span=call.values.span(KEEP.name))
    keep = None if call.values.switch(END.name) else call.values.number(KEEP.name) or KEEP_MS
    context, work, name = call.context, call.services.of(HOOK_WORK), one_line(hook.name)
    following = await typable(call, hook)

    async def apply(also: Changes) -> Answer | Problem:
        old_until = Millis(context.now + keep) if keep and isinstance(hook, IncomingHook) else None
        rotated = await work.rotate(hook, old_until, also)
        if isinstance(rotated, Fault):
            return refused(rotated, call, applying=True)
        old = _old(call, hook, old_until)
        first = f"New token for {wording.one} {name} ({hook.id}).{old}"
        lines = [first, *shown(call, rotated), f"Next: {context.root} {wording.noun} test {following}"]
        answer = done("\n".join(lines), data={"id": hook.id, "name": hook.name})
        what = "address" if isinstance(hook, IncomingHook) else "token"
        sent = f"New {what} for {name} sent to @{call.actor.username} directly.{old}"
        return Answer(answer.text, data=answer.data, secret=True, public_text=sent)

    return Plan(
        title=f"Rotate the token of {wording.one} {name} ({hook.id})",
        effects=_effects(call, hook, keep) if isinstance(hook, IncomingHook) else effects(hook),
        thing=thing_of(hook, wording),
        apply=apply,
        note=note_of(call, f"gave {wording.one} {name} a new token"),
        channels=rooms_of(hook),
    )


def _effects(call: Call, hook: IncomingHook, keep: int | None) -> str:
    if keep is None:
        return "The old address stops working at once; senders that use it are refused."
    ends = until(Millis(call.context.now + keep), now=call.context.now, zone=call.context.zone)
    both = hook.previous_token is not None and hook.previous_token.until > call.context.now
    older = " The token before that one, which still works, ends now." if both else ""
    return f"The old address works on and ends {ends}; senders need the new one by then.{older}"


def _old(call: Call, hook: Hook, old_until: Millis | None) -> str:
    if not isinstance(hook, IncomingHook):
        return ""
    if old_until is None:
        return " The old one has ended."
    return f" The old one works on and ends {until(old_until, now=call.context.now, zone=call.context.zone)}."
