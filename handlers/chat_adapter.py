"""What an adapter of another chat does: a request as bytes in, who wants what as values out, and answers back.

Adapters are pure: the door that uses one reads the request, knows the time and makes the calls. It goes on in this
order: `probe`; `authenticate` with the secret of each workspace the request may come from, which are those whose team
stands anywhere in it; `team_of`, which parses it, to see that it stands in the right place (first where the door is not
signed, for there the proof is one of the fields); and only then one of the `parse_…` functions.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol, runtime_checkable

from handlers import chat
from handlers.command import Answer, Door, Form
from handlers.registry import load
from storage.clock import Millis

JSON_TYPE: Final = "application/json; charset=utf-8"
TEXT_TYPE: Final = "text/plain; charset=utf-8"

LATE_USES: Final = 5
"""How often one response address may be used, within 30 minutes (chat-dialects.md §1.4, §2.3)."""


# --- what comes in ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it came over the wire; nothing in it is fit for a log."""

    headers: tuple[tuple[str, str], ...] = field(repr=False)
    """As pairs: a dictionary would hide one that was sent twice."""
    body: bytes = field(repr=False)
    query: str = field(default="", repr=False)
    """What stands behind the `?`, still encoded."""

    def sent(self, name: str) -> tuple[str, ...]:
        """Return every value of a header, whatever its case."""
        sought = name.lower()
        return tuple(value for key, value in self.headers if key.lower() == sought)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why nothing is done. `reason` is for the log and never for the sender."""

    status: int
    text: str
    reason: str = field(default="", compare=False)


UNAUTHENTICATED: Final = Refusal(401, "unauthenticated")
"""The one answer to whatever is wrong with a signature, a token or a team (chat-dialects.md §0 rule 3)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Who wants something, and where. Names are for people; nothing is decided by them."""

    team_id: str
    user_id: str
    user_name: str = ""
    channel_id: str
    channel_name: str = ""
    direct: bool = False
    """The channel is a direct one."""
    request_id: str | None = None
    """The same for a repeat of the request; None where the system says nothing that could be."""
    response_url: str | None = field(default=None, repr=False)
    trigger_id: str | None = field(default=None, repr=False)
    """Opens a dialog, within about 3 s."""
    thread_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatCommand(Origin):
    """A typed line; `text` is as sent, undoing the dialect is the language's work."""

    word: str
    """What it began with: `/hook`, `!hook`."""
    text: str = field(repr=False)
    message_id: str | None = None
    """The message the line is, where it stands in the room for all to read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Press(Origin):
    """A pressed button, with the line to run for whoever pressed it."""

    line: str = field(repr=False)
    whispered: bool = False
    """Only that person sees the message the button is on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission(Origin):
    """A filled-in form: the line to run and the private values for it."""

    line: str = field(repr=False)
    values: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancelled(Origin):
    """A dialog closed without an answer; `line` is what to run then, or empty."""

    line: str = ""


@dataclass(frozen=True, slots=True)
class Ignored:
    """An authentic request with nothing to run in it; `reply` is the whole answer."""

    reply: "Reply"
    reason: str


# --- what goes back ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Direct:
    """Messages for one person alone, which the door has to send on its own."""

    user_id: str
    user_name: str
    texts: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to a request, and what has to follow it."""

    status: int = 200
    content_type: str = TEXT_TYPE
    body: bytes = field(default=b"", repr=False)
    later: tuple[bytes, ...] = field(default=(), repr=False)
    """JSON bodies for the response address, in order, at most `LATE_USES`."""
    direct: Direct | None = None


@dataclass(frozen=True, slots=True)
class Opening:
    """A call that opens a dialog: `POST` of JSON to the workspace's base address."""

    path: str
    body: bytes = field(repr=False)
    needs_token: bool
    """The call carries the workspace's bot token; without one there is no dialog."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What an answer is written with: whom it is for, and what its buttons and forms are sealed with."""

    origin: Origin
    secret: str = field(repr=False)
    interactions_url: str
    """Where this system is to send presses and submissions."""
    now: Millis


# --- adapters ---------------------------------------------------------------------------------------


class ChatAdapter(Protocol):
    """One chat system. No method raises, whatever a stranger sends."""

    @property
    def name(self) -> str:
        """Return the kind of workspace it is for."""
        ...

    @property
    def door(self) -> Door:
        """Return what the flow of commands must know of it: signed, whispers, dialect."""
        ...

    @property
    def base_url(self) -> str | None:
        """Return where its own interface is called when the workspace names no address."""
        ...

    @property
    def edits(self) -> bool:
        """Tell whether a late answer can take the place of an earlier one."""
        ...

    def probe(self, request: Request) -> Reply | None:
        """Answer a request that only asks whether somebody is there; it carries no proof and gets nothing done."""
        ...

    def team_of(self, request: Request) -> str | None:
        """Return which team a request claims to be from."""
        ...

    def authenticate(self, request: Request, secret: str, now: Millis) -> Refusal | None:
        """Check the proof over the raw body; every failure is `UNAUTHENTICATED`."""
        ...

    def parse_command(self, request: Request) -> ChatCommand | Ignored | Refusal:
        """Read a typed line."""
        ...

    def acknowledgement(self) -> Reply:
        """Return the answer that says nothing, while the work goes on."""
        ...

    def reply(self, answer: Answer, asked: Asked) -> Reply:
        """Write an answer into the response to a typed line."""
        ...

    def late(self, answer: Answer, asked: Asked, *, replace: bool = False) -> tuple[bytes, ...]:
        """Write an answer for the response address: bodies to post in order, none where there is no such address."""
        ...


@runtime_checkable
class InteractiveAdapter(ChatAdapter, Protocol):
    """A chat system with buttons and forms; the registry's adapters are asked whether they are one."""

    def parse_interaction(
        self, request: Request, secret: str, now: Millis
    ) -> Press | Submission | Cancelled | Ignored | Refusal:
        """Read a press or a dialog's end; the secret opens what `reply` and `open_form` sealed."""
        ...

    def pressed(self, answer: Answer, press: Press, asked: Asked) -> Reply:
        """Write the answer to a press: in place of a whispered message, beside a public one."""
        ...

    def submitted(self, answer: Answer, submission: Submission, asked: Asked) -> Reply:
        """Write the answer to a form: errors stay in the dialog, all else closes it."""
        ...

    def open_form(self, form: Form, asked: Asked) -> Opening | None:
        """Return the call that shows a form; None where it cannot, for which one-time addresses exist."""
        ...

    def open_confirmation(self, answer: Answer, asked: Asked) -> Opening | None:
        """Return the call that asks for a destructive command in a dialog; None where buttons do that better."""
        ...


def load_adapters() -> Mapping[str, ChatAdapter]:
    """Return every adapter of the folder `chat/` by name; each module ends with its `ADAPTER`."""
    return load(chat, "ADAPTER")


def to_json(value: object) -> bytes:
    """Write JSON in UTF-8; what no UTF-8 can hold becomes a question mark."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")


def json_reply(value: object, *, later: tuple[bytes, ...] = (), direct: Direct | None = None) -> Reply:
    """Answer with JSON; both Slack and Mattermost show JSON under another content type as text."""
    return Reply(200, JSON_TYPE, to_json(value), later, direct)


def refusal_reply(refusal: Refusal) -> Reply:
    """Write a refusal the same for every system."""
    return Reply(refusal.status, JSON_TYPE, to_json({"success": False, "error": refusal.text}))


def request_key(*parts: str) -> str:
    """Return a short name for a request; what it is made of may open dialogs, and is not kept."""
    return hashlib.blake2b("\0".join(parts).encode(errors="replace"), digest_size=16).hexdigest()
