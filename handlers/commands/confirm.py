"""`confirm`: do what was asked for a moment ago, once, by the one who was asked (commands.md §2.5)."""

from handlers.command import Answer, Call, Command, Noun
from handlers.dispatch import resume
from handlers.line import Problem, ProblemKind, one_line
from handlers.proposals import Kept
from handlers.services import JOURNAL
from handlers.slots import Argument
from storage.records.changes import Changes
from storage.records.pending import PendingEnd, PendingKey, PendingKind
from storage.records.user import Role

_AGAIN = "type the command itself again"
_ENDED = {
    PendingEnd.TAKEN: "was used already; what it asked for is done, and is not done twice",
    PendingEnd.REPLACED: "was cancelled, or replaced by something you asked for later",
    PendingEnd.GUESSED: "ended after five wrong tries",
    PendingEnd.EXPIRED: "is older than 5 min",
}


async def _run(call: Call) -> Answer | Problem:
    context, journal = call.context, call.services.of(JOURNAL)
    code = (call.values.text("CODE") or "").upper()
    key = PendingKey(PendingKind.PROPOSAL, code)
    found = await journal.pending(*key)
    if found is None:
        return await _not_there(call, key)
    if found.user_id != context.actor.id:
        return _problem(call, ProblemKind.FORBIDDEN, "is for whoever asked, and that is somebody else")
    if found.place != context.place.key:
        return _problem(call, ProblemKind.FORBIDDEN, "holds in the room where you asked, which is another one")
    name = " ".join(call.values.texts("NAME")) or None
    return await resume(Kept.read(found.body), key, call, name=name)


async def _not_there(call: Call, key: PendingKey) -> Problem:
    journal = call.services.of(JOURNAL)
    if ended := await journal.pending_end(*key):
        return _problem(call, ProblemKind.EXPIRED, _ENDED[ended])
    waiting = await journal.pending_of(PendingKind.PROPOSAL, call.actor.id, call.context.place.key)
    if waiting:
        await journal.commit(Changes(pending_try=(waiting.named,)))
    return _problem(call, ProblemKind.UNKNOWN, "is not known")


def _problem(call: Call, kind: ProblemKind, why: str) -> Problem:
    code = one_line((call.values.text("CODE") or "").upper())
    text = f"The confirmation {code} {why}."
    return Problem(kind=kind, text=text, span=call.values.span("CODE"), allowed=_AGAIN)


NOUN: Noun = Noun(
    name="confirm",
    summary="does what you were asked about",
    commands=(
        Command(
            noun="confirm",
            verb=None,
            summary="does what a command asked about, within 5 min",
            role=Role.VIEWER,
            writes=True,
            shows_secret=True,
            arguments=(
                Argument(name="CODE", summary="the six letters and digits of the question"),
                Argument(name="NAME", summary="the name, where it was asked for", required=False, repeated=True),
            ),
            examples=("confirm 7F3KQA", "confirm 7F3KQA ci-alerts"),
            run=_run,
        ),
    ),
    needs=(JOURNAL,),
)
