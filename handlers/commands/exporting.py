"""`export`: every hook in one file, without secrets, at an address that works once (decisions 66, 67)."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Protocol

from handlers.answers import plural
from handlers.command import Answer, Call, Command, Confirm, Mark, Noun, Plan
from handlers.portable.nodes import MAX_BYTES
from handlers.services import JOURNAL, Need
from handlers.slots import Flag
from handlers.values import ValueType
from storage.records.changes import Changes, merge
from storage.records.integration import Direction
from storage.records.user import Role


class ExportDesk(Protocol):
    """What can be exported, and the address at which it can be taken."""

    async def size(self, only: Direction | None) -> tuple[int, int]:
        """Return how many hooks the caller may export, and how many bytes the file of them has."""
        ...

    def prepare(self, only: Direction | None) -> tuple[str, Changes]:
        """Return an address for the caller, good once for 10 minutes, and what to write so that it works."""
        ...


EXPORTS: Need[ExportDesk] = Need("exports")

_NOUNS: Mapping[str | None, Direction | None] = MappingProxyType(
    {None: None, "in": Direction.INCOMING, "out": Direction.OUTGOING}
)
_KINDS = {None: "hook", Direction.INCOMING: "incoming hook", Direction.OUTGOING: "outgoing hook"}


async def _run(call: Call) -> Plan:
    desk = call.services.of(EXPORTS)
    only = _NOUNS[call.values.text("noun")]
    count, size = await desk.size(only)
    hooks = plural(count, _KINDS[only])

    async def apply(also: Changes) -> Answer:
        address, waiting = desk.prepare(only)
        await call.services.of(JOURNAL).commit(merge(waiting, also))
        large = f"\nIt has {size:,} bytes, and import takes {MAX_BYTES:,}: try --noun in and --noun out apart."
        return Answer(
            f"{Mark.DONE}. {hooks}, without secrets (*** stands for each).\n"
            f"Download (10 min, once): {address}{large if size > MAX_BYTES else ''}\n"
            f"With secrets, encrypted, on the server itself: patchbay export --encrypted\n"
            f"Next: {call.context.root} import",
            secret=True,
            public_text=f"{Mark.DONE}. The address of an export was sent to @{call.actor.username} directly.",
            data={"hooks": count, "bytes": size, "address": address},
        )

    return Plan(
        title=f"Export {hooks} without secrets",
        effects="You get an address from which the file can be taken once, within 10 min.",
        apply=apply,
    )


NOUN: Noun = Noun(
    name="export",
    summary="all hooks in one file",
    commands=(
        Command(
            noun="export",
            verb=None,
            summary="gives you all hooks as one YAML file, without secrets",
            role=Role.ADMIN,
            writes=True,
            confirm=Confirm.BUTTON,
            shows_secret=True,
            flags=(
                Flag(
                    name="noun",
                    summary="only the incoming or only the outgoing ones",
                    type=ValueType.TEXT,
                    metavar="NOUN",
                    choices=("in", "out"),
                ),
            ),
            examples=("export", "export --noun in"),
            run=_run,
        ),
    ),
    needs=(EXPORTS, JOURNAL),
)
