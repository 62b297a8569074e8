"""Accounts of other chats bound to users: by a code made here and typed there (decision 60)."""

import secrets
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import Protocol

from bot.workspace.directory import Directory
from handlers.errors import Fault
from storage import ports
from storage.clock import Clock, Millis
from storage.errors import Gone, Spent, Taken
from storage.ids import WorkspaceId
from storage.records.account import AccountLink
from storage.records.changes import NOTHING, Changes, merge
from storage.records.pending import Pending, PendingKey, PendingKind, PendingOf
from storage.records.user import User
from storage.records.workspace import Workspace

CODE_MS = 10 * 60 * 1000
CODE_LENGTH = 8
ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
"""Letters and digits without look-alikes: a code is read from one screen and typed into another."""

TRIES = 3
"""How often another code is tried where one was in use."""

WRONG_AN_HOUR = 5
SENDERS_REMEMBERED = 10_000

WRONG_CODE = Fault("This code is wrong, was used, or is older than 10 minutes.", "invalid")
TOO_MANY = Fault(f"{WRONG_AN_HOUR} wrong codes within an hour; wait before you try another one.", "limited")
NO_WORKSPACE = Fault("This chat is not connected any more.", "unavailable")
NOBODY = Fault("Whoever made this code cannot log in any more.", "forbidden")


class LinkingStore(ports.Ledger, ports.Pendings, ports.Accounts, ports.Workspaces, Protocol):
    """What linking reads and writes."""


@dataclass(frozen=True, slots=True)
class LinkCode:
    """A code to type in the other chat."""

    code: str = field(repr=False)
    expires_at: Millis


@dataclass(frozen=True, slots=True)
class Sender:
    """An account of another chat: `id` is what its system calls it, `name` only what people do."""

    workspace_id: WorkspaceId
    id: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Linked:
    """A link with the workspace it is for."""

    link: AccountLink
    workspace: Workspace


class Linking:
    """Makes and redeems codes, lists links and takes them off; who an account is, the flow of commands asks itself."""

    def __init__(self, store: LinkingStore, directory: Directory, clock: Clock) -> None:
        self._store = store
        self._directory = directory
        self._clock = clock
        self._wrong = _WrongCodes(clock)

    async def make_code(self, user: User, also: Changes = NOTHING) -> LinkCode:
        """Make a code for a user, and write `also` with it; the code made before is worth nothing any more."""
        expires_at = Millis(self._clock.now() + CODE_MS)
        for left in reversed(range(TRIES)):
            code = "".join(secrets.choice(ALPHABET) for _ in range(CODE_LENGTH))
            pending = Pending(
                kind=PendingKind.LINK_CODE, key=code, user_id=user.id, place="", body="{}", expires_at=expires_at
            )
            older = PendingOf(PendingKind.LINK_CODE, user.id, "")
            try:
                await self._store.commit(merge(Changes(pending_clear=(older,), pending_put=(pending,)), also))
                break
            except Taken:  # one of 10^12 codes was in use, or something in `also` is
                if not left:
                    raise
        return LinkCode(code, expires_at)

    async def redeem(self, sender: Sender, code: str, also: Changes = NOTHING) -> User | Fault:
        """Bind an account to whoever made the code, and say who that is.

        The code is used up in the transaction that binds; `also` is written in it, too. An account that was bound
        before is bound anew: whoever typed the code holds the account.
        """
        if not self._wrong.may_try(sender):
            return TOO_MANY
        written = _normal(code)
        found = await self._store.pending(PendingKind.LINK_CODE, written)
        if found is None or found.user_id is None:
            return WRONG_CODE
        user = await self._directory.user(found.user_id)
        if user is None or not user.active:
            return NOBODY
        link = AccountLink(
            workspace_id=sender.workspace_id,
            external_id=sender.id,
            external_name=sender.name,
            user_id=user.id,
            linked_at=self._clock.now(),
        )
        taken = Changes(pending_take=(PendingKey(PendingKind.LINK_CODE, written),), add_links=(link,))
        try:
            await self._store.commit(merge(taken, also))
        except Spent:
            return WRONG_CODE
        except Gone:
            return NO_WORKSPACE
        self._wrong.forgive(sender)
        return user

    async def links_of(self, user: User) -> list[Linked]:
        """Return a user's accounts in other chats, oldest first."""
        workspaces = {one.id: one for one in await self._store.workspaces(self._directory.org)}
        links = await self._store.links_of(user.id)
        return [Linked(link, workspaces[link.workspace_id]) for link in links if link.workspace_id in workspaces]

    async def unlink(self, user: User, workspace_id: WorkspaceId, external_id: str, also: Changes = NOTHING) -> bool:
        """Take a user's account off; tell whether it was bound to this user."""
        links = await self._store.links_of(user.id)
        if not any((link.workspace_id, link.external_id) == (workspace_id, external_id) for link in links):
            return False
        await self._store.commit(merge(Changes(drop_links=((workspace_id, external_id),)), also))
        return True


class _WrongCodes:
    """Counts each sender's tries of an hour in memory; a try is counted before it is judged, so that many at once
    do not slip through."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._tries: OrderedDict[tuple[WorkspaceId, str], deque[float]] = OrderedDict()

    def may_try(self, sender: Sender) -> bool:
        now, key = self._clock.monotonic(), (sender.workspace_id, sender.id)
        tries = self._tries.setdefault(key, deque(maxlen=WRONG_AN_HOUR))
        self._tries.move_to_end(key)
        if len(self._tries) > SENDERS_REMEMBERED:
            self._tries.popitem(last=False)
        if len(tries) == WRONG_AN_HOUR and tries[0] > now - 3600:
            return False
        tries.append(now)
        return True

    def forgive(self, sender: Sender) -> None:
        """Take the last try back: it was right."""
        if tries := self._tries.get((sender.workspace_id, sender.id)):
            tries.pop()


def _normal(code: str) -> str:
    return code.strip().replace("-", "").replace(" ", "").upper()
