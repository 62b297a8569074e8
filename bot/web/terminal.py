"""`/commands/terminal`: lines typed at a terminal or by a script, proven by a personal access token (decision 68)."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Final

from aiohttp import web

from bot.flows.command import ROOT
from bot.services import Services
from bot.web.answers import LOGIN_NEEDED, answer, failure, too_many
from bot.web.bodies import read_raw
from bot.web.limits import RateLimit
from handlers.bodies import BodyFault, parse_json
from handlers.chat_text import harmless
from handlers.command import Answer, Door, Place
from handlers.errors import Fault
from storage.errors import after_effect
from storage.records.room import Room
from storage.records.user import User

TERMINAL: Final = Door(name="terminal")
"""Proven by its token, read by one person alone."""

MAX_BODY_BYTES: Final = 64 * 1024
LONGEST_NAME: Final = 200
_ROOT: Final = re.compile(r"[/!]?[\w-]{1,30}(?: [\w-]{1,30})?")
"""What stands before each command an answer names; the room reads it where the answer is public."""
_NO_ROOM: Final = "There is no such room, or you are not in it."


@dataclass(frozen=True, slots=True)
class _Typed:
    """What a request holds, past its checks."""

    line: str
    cursor: int
    room: str | None
    root: str
    id: str | None
    """The sender's own for this request: a repeat of it does nothing and is answered as before."""
    values: Mapping[str, str] = field(repr=False)


class TerminalRoutes:
    """Runs lines and completes them for whoever the token belongs to."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._limit = RateLimit(services.settings.api_rate_per_minute, services.clock)

    def add_to(self, app: web.Application) -> None:
        """Register both addresses."""
        app.router.add_post("/commands/terminal", self._run)
        app.router.add_post("/commands/terminal/complete", self._complete)

    async def _run(self, request: web.Request) -> web.Response:
        found = await self._typed(request)
        if isinstance(found, web.Response):
            return found
        user, typed, place = found
        said = await self._services.flow.run(
            user,
            place,
            typed.line,
            TERMINAL,
            request_id=typed.id and f"{user.id}:{typed.id}",
            private=typed.values,
            root=typed.root,
        )
        if place.room is not None and not said.private:
            with after_effect():
                await self._tell(place.room, said.text)
        return answer(_shown(said))

    async def _complete(self, request: web.Request) -> web.Response:
        found = await self._typed(request)
        if isinstance(found, web.Response):
            return found
        user, typed, place = found
        offers = await self._services.flow.complete(user, place, typed.line, typed.cursor, TERMINAL)
        return answer({"suggestions": [asdict(offer) for offer in offers]})

    async def _tell(self, room: Room, text: str) -> None:
        """Post an answer that is meant for the room, too; where `rocket.cat` may not, the caller alone reads it."""
        # in its words are names and roots of others, who may not call everybody in the voice of rocket.cat
        prepared = await self._services.posting.notice(harmless(text), room.id)
        if not isinstance(prepared, Fault):
            await self._services.store.commit(prepared.changes)

    async def _typed(self, request: web.Request) -> tuple[User, _Typed, Place] | web.Response:
        """Check login, limit, body and room, in the order of the other interfaces (`rocketchat.md` §1.1)."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        user = await self._services.accounts.bearer(token.strip()) if scheme.lower() == "bearer" else None
        if user is None:
            return answer(LOGIN_NEEDED, 401, {"WWW-Authenticate": "Bearer"})
        allowance = self._limit.take((user.id, request.path))  # completion must not starve lines
        if allowance is not None and not allowance.allowed:
            return too_many(allowance.wait_s, allowance.headers)
        raw = await read_raw(request, MAX_BODY_BYTES)
        typed = raw if isinstance(raw, BodyFault) else _read(raw.decoded)
        if isinstance(typed, BodyFault):
            return failure(typed.text, typed.status)
        place = await self._place(user, typed.room)
        return failure(_NO_ROOM) if place is None else (user, typed, place)

    async def _place(self, user: User, named: str | None) -> Place | None:
        if named is None:
            return Place(channel=TERMINAL.name)
        room: Room | None = await self._services.directory.room_called(named.removeprefix("#"))
        if room is None or not await self._services.posting.may_enter(room, user):
            return None
        return Place(channel=room.id, room=room)


def _read(body: bytes) -> _Typed | BodyFault:
    given = parse_json(body)
    if isinstance(given, BodyFault):
        return given
    if not isinstance(given, Mapping) or not isinstance(line := given.get("line"), str):
        return BodyFault(400, 'Send a JSON object with a text "line".')
    texts = {name: given.get(name) for name in ("room", "root", "id")}
    for name, value in texts.items():
        if value is not None and not (isinstance(value, str) and len(value) <= LONGEST_NAME and value.isprintable()):
            return BodyFault(400, f'"{name}" must be up to {LONGEST_NAME} visible characters.')
    if texts["root"] and not _ROOT.fullmatch(texts["root"]):
        return BodyFault(400, '"root" must be one or two words, like "patchbay hook".')
    cursor, values = given.get("cursor", len(line)), given.get("values", {})
    if not isinstance(cursor, int) or isinstance(cursor, bool):
        return BodyFault(400, '"cursor" must be a column.')
    if not (isinstance(values, Mapping) and all(isinstance(each, str) for each in values.values())):
        return BodyFault(400, '"values" must be an object of texts.')
    return _Typed(
        line=line,
        cursor=min(max(cursor, 0), len(line)),
        room=texts["room"] or None,
        root=ROOT if texts["root"] is None else texts["root"],
        id=texts["id"] or None,
        values=dict(values),
    )


def _shown(said: Answer) -> dict[str, object]:
    return {
        "text": said.text,
        "mark": said.mark.value,
        "code": said.code,
        "private": said.private,
        "buttons": [asdict(button) for button in said.buttons],
        "form": None if said.form is None else asdict(said.form),
        "data": said.data,
    }
