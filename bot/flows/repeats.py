"""Requests of other chats that come twice: the repeat gets the first answer and does nothing (decision 62)."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any, Final, Protocol

from handlers.command import Answer, Button, Form, FormField, Mark
from storage.clock import Clock, Millis
from storage.errors import after_effect
from storage.ids import UserId
from storage.ports import Ledger, Pendings
from storage.records.changes import Changes
from storage.records.pending import Pending, PendingKind

KEPT_MS: Final = 10 * 60 * 1000 + 1000
"""How long a request is known (decision 63): longer than the 5 min either way in which its signature is good."""

_DONE = Answer(f"{Mark.DONE}. This was done already; its answer got lost.")


class RepeatStore(Ledger, Pendings, Protocol):
    """Where answers to requests are kept."""


class Repeats:
    """Runs each request once, also when its repeat comes while the first still runs."""

    def __init__(self, store: RepeatStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._running: dict[str, asyncio.Future[Answer]] = {}

    async def once(self, key: str, user_id: UserId | None, run: Callable[[Changes], Awaitable[Answer]]) -> Answer:
        """Return the answer to a request; `run` writes what it is given together with any effect it has."""
        running = self._running.get(key)
        if running is not None:
            return await asyncio.shield(running)
        self._running[key] = future = asyncio.get_running_loop().create_future()
        try:
            answer = await self._first(key, user_id, run)
        except BaseException as error:
            future.set_exception(error)
            future.exception()  # nobody may wait for it; then it is no loss
            raise
        else:
            future.set_result(answer)
            return answer
        finally:
            del self._running[key]

    async def _first(self, key: str, user_id: UserId | None, run: Callable[[Changes], Awaitable[Answer]]) -> Answer:
        known = await self._store.pending(PendingKind.REQUEST, key)
        if known is not None:
            return _read(known.body)
        answer = await run(Changes(pending_put=(self._pending(key, user_id, _DONE),)))
        kept = self._pending(key, user_id, answer)
        # with an effect came the mark that it happened; the answer takes its place
        marked = await self._store.pending(PendingKind.REQUEST, key) is not None
        with after_effect():
            await self._store.commit(Changes(pending_fill=(kept,)) if marked else Changes(pending_put=(kept,)))
        return answer

    def _pending(self, key: str, user_id: UserId | None, answer: Answer) -> Pending:
        until = Millis(self._clock.now() + KEPT_MS)
        body = json.dumps(asdict(answer), ensure_ascii=False)
        return Pending(kind=PendingKind.REQUEST, key=key, user_id=user_id, place="", body=body, expires_at=until)


def _read(body: str) -> Answer:
    fields: dict[str, Any] = json.loads(body)  # Any: what `asdict` wrote, field by field
    form = fields["form"]
    fields |= {
        "mark": Mark(fields["mark"]),
        "note_channels": tuple(fields["note_channels"]),
        "room_notes": tuple((channel, note) for channel, note in fields["room_notes"]),
        "buttons": tuple(Button(**button) for button in fields["buttons"]),
        "form": form and Form(form["title"], form["line"], tuple(FormField(**each) for each in form["fields"])),
        "rows": tuple(fields["rows"]),
    }
    return Answer(**fields)
