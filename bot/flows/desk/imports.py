"""Imports for commands: what a file would do and doing it, with the caller's rights."""

from bot.flows.desks import Caller, Desk, Kit
from bot.workspace.forms import Forms
from bot.workspace.importing import Importing
from handlers.command import Form, FormField
from handlers.commands.importing import IMPORTS, PRIVATE, ImportDesk
from handlers.portable.nodes import MAX_BYTES, DocumentFault
from handlers.portable.planning import ImportPlan
from storage.records.changes import Changes
from storage.records.integration import IncomingHook

_FIELD = FormField(PRIVATE, "File", "plain YAML, as export writes it", lines=24, at_most=MAX_BYTES)


class Imports:
    """Implements `handlers.commands.importing.ImportDesk`."""

    def __init__(self, kit: Kit, caller: Caller) -> None:
        self._kit = kit
        self._caller = caller
        self._importing = Importing(kit.directory, kit.store, kit.fanout, kit.clock, kit.hooks.rules)

    async def plan(self, text: str, *, overwrite: bool) -> ImportPlan | DocumentFault:
        return await self._importing.plan(self._caller.user, text, overwrite=overwrite)

    async def carry_out(self, plan: ImportPlan, also: Changes) -> str | None:
        return await self._importing.carry_out(self._caller.user, plan, also)

    async def page(self, line: str) -> str:
        forms = Forms(self._kit.store, self._kit.directory, self._kit.clock, self._kit.base_url)
        caller = self._caller
        return await forms.make(Form("Import hooks", line, (_FIELD,)), caller.user, caller.place, caller.door.name)

    def address(self, hook: IncomingHook) -> str:
        return f"{self._kit.base_url}/hooks/{hook.id}/{hook.token}"


def _make(kit: Kit, caller: Caller) -> ImportDesk:
    return Imports(kit, caller)


DESK: Desk = Desk(IMPORTS, _make)
