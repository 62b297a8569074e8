"""Exports and imports as commands see them, over nothing: files are read, none is written."""

from handlers.commands.exporting import EXPORTS
from handlers.commands.importing import IMPORTS
from handlers.portable.nodes import DocumentFault
from handlers.portable.planning import ImportPlan
from handlers.portable.reading import read_document
from handlers.services import Provided, provide
from storage.records.changes import NOTHING, Changes
from storage.records.integration import Direction, IncomingHook


class Shelf:
    """Implements `ExportDesk` and `ImportDesk`."""

    async def size(self, only: Direction | None) -> tuple[int, int]:
        return 0, 0

    def prepare(self, only: Direction | None) -> tuple[str, Changes]:
        return "http://patchbay.test/exports/CODE", NOTHING

    async def plan(self, text: str, *, overwrite: bool) -> ImportPlan | DocumentFault:
        found = read_document(text)
        return found if isinstance(found, DocumentFault) else ImportPlan(refused=found.refused)

    async def carry_out(self, plan: ImportPlan, also: Changes) -> str | None:
        return "Nothing is written here."

    async def page(self, line: str) -> str:
        return "http://patchbay.test/forms/CODE"

    def address(self, hook: IncomingHook) -> str:
        return f"http://patchbay.test/hooks/{hook.id}/{hook.token}"

    def provided(self) -> tuple[Provided, ...]:
        return provide(EXPORTS, self), provide(IMPORTS, self)
