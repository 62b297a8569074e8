"""One-time addresses of exports (decision 66): only who may take what is kept, the file is made when it is taken."""

import json
import secrets
from dataclasses import dataclass
from typing import Protocol

from bot.workspace.directory import Directory
from storage import ports
from storage.clock import Clock, Millis
from storage.errors import Spent
from storage.ids import UserId
from storage.records.changes import Changes
from storage.records.integration import Direction
from storage.records.pending import Pending, PendingEnd, PendingKey, PendingKind
from storage.records.user import Role, User

DOWNLOAD_MS = 10 * 60 * 1000
CODE_BYTES = 16
PATH = "/exports"


class DownloadStore(ports.Ledger, ports.Pendings, Protocol):
    """What downloads read and write."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Download:
    """An export that waits to be taken once."""

    user: User
    only: Direction | None
    expires_at: Millis


class Downloads:
    """Makes addresses, tells what they give, and lets each be used once."""

    def __init__(self, store: DownloadStore, directory: Directory, clock: Clock, base_url: str) -> None:
        self._store = store
        self._directory = directory
        self._clock = clock
        self._base_url = base_url

    def prepare(self, user_id: UserId, only: Direction | None) -> tuple[str, Changes]:
        """Return an address, and what to write so that it works for 10 minutes; whoever has it can use it."""
        code = secrets.token_urlsafe(CODE_BYTES)
        pending = Pending(
            kind=PendingKind.DOWNLOAD,
            key=code,
            user_id=user_id,
            place="export",
            body=json.dumps({"only": only}),
            expires_at=Millis(self._clock.now() + DOWNLOAD_MS),
        )
        return f"{self._base_url}{PATH}/{code}", Changes(pending_put=(pending,))

    async def find(self, code: str) -> Download | PendingEnd | None:
        """Return what an address gives, without using it up, or why it no longer does; None when it never did.

        It ends with its user's right to export: one who is no longer an active admin takes nothing.
        """
        pending = await self._store.pending(PendingKind.DOWNLOAD, code)
        if pending is None:
            return await self._store.pending_end(PendingKind.DOWNLOAD, code)
        user = await self._directory.user(pending.user_id) if pending.user_id else None
        if user is None or not user.active or not user.role.at_least(Role.ADMIN):
            return PendingEnd.EXPIRED
        only = json.loads(pending.body)["only"]
        return Download(user=user, only=Direction(only) if only else None, expires_at=pending.expires_at)

    async def take(self, code: str) -> bool:
        """Use an address up; tell whether this was the one time it can be."""
        try:
            await self._store.commit(Changes(pending_take=(PendingKey(PendingKind.DOWNLOAD, code),)))
        except Spent:
            return False
        return True
