"""Speak to a running server's terminal door: run a line, submit a form, ask how a line may go on."""

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from handlers.http import Answered, End, OutboundRequest

RUN_S = 60.0
"""Seconds a line may take; the server works on until it is done."""
COMPLETE_S = 2.0
"""Seconds after which nobody waits for a suggestion any more."""


class Sender(Protocol):
    """Makes one call and says how it ended."""

    async def send(self, request: OutboundRequest) -> End: ...


@dataclass(frozen=True, slots=True)
class Offered:
    """A button: what it says, and the line a press runs."""

    label: str
    line: str


@dataclass(frozen=True, slots=True)
class Asked:
    """One value of a form."""

    name: str
    label: str
    hint: str
    secret: bool
    required: bool


@dataclass(frozen=True, slots=True)
class PrivateForm:
    """What the server wants to be told without anybody reading it."""

    title: str
    line: str
    fields: tuple[Asked, ...]


@dataclass(frozen=True, slots=True)
class Reply:
    """What the server says to a line."""

    text: str
    mark: str
    code: str
    buttons: tuple[Offered, ...]
    form: PrivateForm | None
    raw: Mapping[str, Any] = field(repr=False)
    """The whole answer, for `--json`."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why there is no answer, in one sentence."""

    text: str


@dataclass(frozen=True, slots=True)
class Offer:
    """One way a half-typed line may go on: `insert` replaces it from column `start` to the cursor."""

    insert: str
    label: str
    hint: str
    start: int


class Client:
    """Calls the door of one server for one person."""

    def __init__(
        self, sender: Sender, url: str, token: str, *, room: str | None = None, root: str | None = None
    ) -> None:
        """`root` is the word answers tell the person to begin a line with."""
        self._sender = sender
        self._url = url.rstrip("/")
        self._token = token
        self._of_every_line = {name: value for name, value in (("room", room), ("root", root)) if value is not None}

    async def run(self, line: str, values: Mapping[str, str] | None = None) -> Reply | Trouble:
        """Run a line; `values` are what a form asked for."""
        # the network may carry a request twice; the server runs an id once
        body: dict[str, object] = {"line": line, "id": secrets.token_hex(8)}
        if values is not None:
            body["values"] = dict(values)
        answer = await self._post("/commands/terminal", body, RUN_S)
        return answer if isinstance(answer, Trouble) else _reply(answer)

    async def complete(self, line: str, cursor: int) -> list[Offer]:
        """Return how a line may go on; nothing when the server does not say in time."""
        answer = await self._post("/commands/terminal/complete", {"line": line, "cursor": cursor}, COMPLETE_S)
        if isinstance(answer, Trouble):
            return []
        try:
            return [
                Offer(str(one["insert"]), str(one["label"]), str(one["hint"]), int(one["start"]))
                for one in answer["suggestions"]
            ]
        except (KeyError, TypeError, ValueError):
            return []

    async def _post(self, path: str, body: dict[str, object], seconds: float) -> Mapping[str, Any] | Trouble:
        request = OutboundRequest(
            "POST",
            self._url + path,
            {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"},
            json.dumps({**self._of_every_line, **body}).encode(),
            seconds,
        )
        return _judged(await self._sender.send(request))


def _judged(end: End) -> Mapping[str, Any] | Trouble:
    if not isinstance(end, Answered):
        return Trouble(end.message)
    if end.status == 401:
        return Trouble("The server does not know this token; `patchbay token add USER NAME` makes one.")
    if end.status == 404:
        return Trouble("There is no Patchbay with a terminal door at this address; look at --url.")
    if end.truncated:
        return Trouble("The answer is longer than a terminal is sent; ask for less, or for one page of it.")
    try:
        found = json.loads(end.body)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        return Trouble(f"The server answered {end.status} with something that is no answer of Patchbay's.")
    if end.status != 200:
        return Trouble(str(found.get("error") or f"The server answered {end.status}."))
    return found


def _reply(answer: Mapping[str, Any]) -> Reply | Trouble:
    try:
        return Reply(
            text=str(answer["text"]),
            mark=str(answer["mark"]),
            code=str(answer["code"]),
            buttons=tuple(Offered(str(one["label"]), str(one["line"])) for one in answer["buttons"]),
            form=_form(answer["form"]),
            raw=answer,
        )
    except (KeyError, TypeError):
        return Trouble("The server answered in a way this version does not understand.")


def _form(given: Any) -> PrivateForm | None:  # Any: JSON of the server
    if given is None:
        return None
    fields: Sequence[Any] = given["fields"]
    return PrivateForm(
        str(given["title"]),
        str(given["line"]),
        tuple(
            Asked(str(one["name"]), str(one["label"]), str(one["hint"]), bool(one["secret"]), bool(one["required"]))
            for one in fields
        ),
    )
