"""`undo`: take back the last change made here, within ten minutes (commands.md §2.2, decision 65)."""

from handlers.command import Answer, Call, Command, Noun
from handlers.dispatch import take_back
from handlers.line import Problem, ProblemKind
from handlers.proposals import Kept
from handlers.services import JOURNAL
from storage.records.pending import PendingKind
from storage.records.user import Role


async def _run(call: Call) -> Answer | Problem:
    found = await call.services.of(JOURNAL).pending_of(PendingKind.UNDO, call.actor.id, call.context.place.key)
    if found is None:
        text = "There is nothing of yours to undo here; a change can be undone for 10 min, in the room it was made in."
        return Problem(kind=ProblemKind.EXPIRED, text=text)
    return await take_back(Kept.read(found.body), found.named, call)


NOUN: Noun = Noun(
    name="undo",
    summary="takes your last change here back",
    commands=(
        Command(
            noun="undo",
            verb=None,
            summary="takes back your last change here, for 10 min; what was lost or sent stays so",
            role=Role.VIEWER,
            writes=True,
            shows_secret=True,
            examples=("undo",),
            run=_run,
        ),
    ),
    needs=(JOURNAL,),
)
