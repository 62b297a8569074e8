"""Accounts of other chats for commands: bound by a code, listed, taken off (decision 60)."""

from collections.abc import Sequence

from bot.flows.desks import Caller, Desk, Kit
from bot.workspace.linking import Sender
from handlers.errors import Fault
from handlers.line import Problem, ProblemKind
from handlers.people import LINKS, Account, Chat, LinkDesk
from storage.ids import UserId, WorkspaceId
from storage.records.changes import Changes
from storage.records.user import User

_NOT_HERE = Problem(
    kind=ProblemKind.USAGE,
    text="A code is typed in the other chat, the one to be linked; this is Patchbay itself.",
    allowed="the same line in the other chat",
    next="user link, for a code of your own",
)


class Links:
    """Implements `handlers.people.LinkDesk`."""

    def __init__(self, kit: Kit, caller: Caller) -> None:
        self._kit = kit
        self._caller = caller

    async def chats(self) -> Sequence[Chat]:
        return [Chat(one.name, one.kind.value) for one in await self._kit.store.workspaces(self._kit.directory.org)]

    async def here(self) -> Chat | None:
        sender = self._caller.sender
        if sender is None:
            return None
        found = await self._kit.store.workspace(self._kit.directory.org, WorkspaceId(sender[0]))
        return Chat(found.name, found.kind.value) if found else None

    async def accounts(self, user_id: UserId) -> Sequence[Account]:
        user = await self._kit.directory.user(user_id)
        found = await self._kit.linking.links_of(user) if user else []
        return [
            Account(
                workspace_id=one.workspace.id,
                name=one.workspace.name,
                system=one.workspace.kind.value,
                external_id=one.link.external_id,
                external_name=one.link.external_name,
                linked_at=one.link.linked_at,
            )
            for one in found
        ]

    async def make_code(self, also: Changes) -> str:
        return (await self._kit.linking.make_code(self._caller.user, also)).code

    async def redeem(self, code: str, also: Changes) -> User | Problem:
        sender = self._caller.sender
        if sender is None:
            return _NOT_HERE
        name = self._caller.unlinked.name if self._caller.unlinked else ""
        done = await self._kit.linking.redeem(Sender(WorkspaceId(sender[0]), sender[1], name), code, also)
        if isinstance(done, User):
            return done
        return Problem(
            kind=_kind(done),
            text=done.reason or "",
            allowed="the 8 letters and digits `user link` gives you where you are signed in to Patchbay",
            next="help user link",
        )

    async def unlink(self, user: User, account: Account, also: Changes) -> bool:
        return await self._kit.linking.unlink(user, account.workspace_id, account.external_id, also)


def _kind(fault: Fault) -> ProblemKind:
    """Read the kind from the fault's code, which linking takes from the same words."""
    return next((kind for kind in ProblemKind if kind.value == fault.code), ProblemKind.INVALID)


def _make(kit: Kit, caller: Caller) -> LinkDesk:
    return Links(kit, caller)


DESK: Desk = Desk(LINKS, _make)
