"""`list`: every hook of this room, both ways, in one list (decision 58)."""

from handlers.command import Answer, Call, Command, Noun
from handlers.line import Problem
from handlers.room_hooks import listed_hooks
from handlers.services import HOOKS
from storage.records.user import Role


async def _run(call: Call) -> Answer | Problem:
    return await listed_hooks(call, call.context.room)


NOUN: Noun = Noun(
    name="list",
    summary="the hooks of this room, both ways",
    commands=(
        Command(
            noun="list",
            verb=None,
            summary="lists the hooks of this room that you may see, incoming and outgoing",
            role=Role.VIEWER,
            pages=True,
            examples=("list", "list --page 2"),
            run=_run,
        ),
    ),
    needs=(HOOKS,),
)
