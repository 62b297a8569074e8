"""`cancel`: forget what was asked, without doing it (commands.md §2.5)."""

from handlers.answers import done
from handlers.command import Answer, Call, Command, Noun
from handlers.line import Problem, ProblemKind, one_line
from handlers.proposals import Kept
from handlers.services import JOURNAL
from handlers.slots import Argument
from storage.records.changes import Changes
from storage.records.pending import PendingKind, PendingOf
from storage.records.user import Role


async def _run(call: Call) -> Answer | Problem:
    journal, place = call.services.of(JOURNAL), call.context.place.key
    waiting = await journal.pending_of(PendingKind.PROPOSAL, call.actor.id, place)
    code = call.values.text("CODE")
    if waiting is None or (code and code.upper() != waiting.key):
        text = f"No question {one_line(code.upper())} of yours waits here." if code else "Nothing of yours waits here."
        return Problem(kind=ProblemKind.UNKNOWN, text=text, span=call.values.span("CODE"))
    await journal.commit(Changes(pending_clear=(PendingOf(PendingKind.PROPOSAL, call.actor.id, place),)))
    title = Kept.read(waiting.body).title
    return done(f"Cancelled, nothing was done: {title}.", data={"cancelled": title})


NOUN: Noun = Noun(
    name="cancel",
    summary="forgets what you were asked about",
    commands=(
        Command(
            noun="cancel",
            verb=None,
            summary="forgets what a command asked about, without doing it",
            role=Role.VIEWER,
            arguments=(Argument(name="CODE", summary="which one, if not the last", required=False),),
            examples=("cancel", "cancel 7F3KQA"),
            run=_run,
        ),
    ),
    needs=(JOURNAL,),
)
