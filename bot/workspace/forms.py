"""One-time addresses for private input: typed on a page instead of in a chat (decision 66)."""

import json
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from bot.workspace.directory import Directory
from handlers.command import Form, FormField, Place
from storage import ports
from storage.clock import Clock, Millis
from storage.errors import Spent
from storage.ids import RoomId, UserId
from storage.records.changes import Changes
from storage.records.pending import Pending, PendingEnd, PendingKey, PendingKind
from storage.records.user import User

FORM_MS = 10 * 60 * 1000
CODE_BYTES = 16
PATH = "/forms"


class FormsStore(ports.Ledger, ports.Pendings, Protocol):
    """What forms read and write."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OneTimeForm:
    """A form that waits for its one submission: whose it is, and where its command was typed."""

    form: Form
    user: User
    place: Place
    door: str
    """Name of the door the command came through."""
    expires_at: Millis


@dataclass(frozen=True, slots=True)
class Filled:
    """What a page brought: ready to run, or the fields that are still empty or too short."""

    values: Mapping[str, str] = field(repr=False)
    missing: tuple[str, ...] = ()


class Forms:
    """Makes addresses, shows what they ask for, and takes each once."""

    def __init__(self, store: FormsStore, directory: Directory, clock: Clock, base_url: str) -> None:
        self._store = store
        self._directory = directory
        self._clock = clock
        self._base_url = base_url

    async def make(self, form: Form, user: User, place: Place, door: str) -> str:
        """Return the address at which this user can fill in a form once, for 10 minutes; whoever has it can."""
        address, changes = self.prepare(form, user.id, place, door)
        await self._store.commit(changes)
        return address

    def prepare(self, form: Form, user_id: UserId, place: Place, door: str) -> tuple[str, Changes]:
        """Return an address, and what to write so that it works: for a form that comes with an effect."""
        code = secrets.token_urlsafe(CODE_BYTES)
        pending = Pending(
            kind=PendingKind.FORM,
            key=code,
            user_id=user_id,
            place=place.key,
            body=json.dumps(
                {
                    "form": asdict(form),
                    "channel": place.channel,
                    "workspace": place.workspace,
                    "thread": place.thread,
                    "door": door,
                }
            ),
            expires_at=Millis(self._clock.now() + FORM_MS),
        )
        return f"{self._base_url}{PATH}/{code}", Changes(pending_put=(pending,))

    async def find(self, code: str) -> OneTimeForm | PendingEnd | None:
        """Return what an address asks for, without using it up, or why it no longer does; None when it never did."""
        pending = await self._store.pending(PendingKind.FORM, code)
        if pending is None:
            return await self._store.pending_end(PendingKind.FORM, code)
        user = None if pending.user_id is None else await self._directory.user(pending.user_id)
        if user is None or not user.active:
            return None
        body: dict[str, Any] = json.loads(pending.body)  # Any: the JSON that `make` wrote
        asked = body["form"]
        channel, workspace = str(body["channel"]), body["workspace"]
        return OneTimeForm(
            form=Form(asked["title"], asked["line"], tuple(FormField(**each) for each in asked["fields"])),
            user=user,
            place=Place(
                channel=channel,
                workspace=workspace,
                room=await self._directory.room(RoomId(channel)) if workspace is None else None,
                thread=body["thread"],
            ),
            door=body["door"],
            expires_at=pending.expires_at,
        )

    @staticmethod
    def fill(form: Form, given: Mapping[str, str]) -> Filled:
        """Take from a page the fields of the form and nothing else; empty optional ones are left out."""
        values = {one.name: given[one.name] for one in form.fields if given.get(one.name, "").strip()}
        missing = tuple(one.name for one in form.fields if not _suffices(one, values.get(one.name)))
        return Filled(values, missing)

    async def take(self, code: str) -> bool:
        """Use an address up; tell whether this was the one time it can be."""
        try:
            await self._store.commit(Changes(pending_take=(PendingKey(PendingKind.FORM, code),)))
        except Spent:
            return False
        return True


def _suffices(asked: FormField, value: str | None) -> bool:
    return not asked.required if value is None else len(value) >= asked.at_least
