"""The native Rocket.Chat App (decision 63): what it sends and understands; its JavaScript lies in the folder beside.

Every request is one JSON object, signed over its raw bytes with the secret of its workspace. The App shows answers to
one person alone or to the room; it has no buttons and no dialogs.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from handlers.bodies import BodyFault, parse_json
from handlers.chat_adapter import (
    UNAUTHENTICATED,
    Asked,
    ChatAdapter,
    ChatCommand,
    Ignored,
    Refusal,
    Reply,
    Request,
    json_reply,
)
from handlers.chat_text import harmless, numbered, split
from handlers.command import Answer, Dialect, Door
from handlers.complete import MAX_SUGGESTIONS
from handlers.signing import v0
from storage.clock import Millis

HEADERS: Final = v0.V0Headers(timestamp="x-patchbay-timestamp", signature="x-patchbay-signature")
MAX_BODY_BYTES: Final = 65_536
"""The longest line, every character escaped, and room for the rest."""
MESSAGE_CHARS: Final = 5_000
"""What Rocket.Chat servers accept by default (chat-dialects.md §5)."""

_VERSION: Final = 1
_REQUEST_ID = re.compile(r"[0-9a-f]{32}")
_LONGEST_ID: Final = 200


@dataclass(frozen=True, slots=True)
class Typing:
    """A line that is still being typed: what may follow is asked, nothing runs."""

    command: ChatCommand


class RocketChatApp:
    """The adapter; see `ChatAdapter`."""

    name: Final = "rocketchat-app"
    door: Final = Door(name="rocketchat-app", dialect=Dialect.ROCKETCHAT)
    base_url: Final = None
    edits: Final = False

    def probe(self, request: Request) -> Reply | None:
        """The App never only asks whether somebody is there."""
        return None

    def team_of(self, request: Request) -> str | None:
        """Return the workspace a request says it comes from."""
        found = _object(request.body)
        return None if isinstance(found, Refusal) else _name(found.get("workspace"))

    def authenticate(self, request: Request, secret: str, now: Millis) -> Refusal | None:
        """Check the signature of Slack's scheme, 5 minutes either way."""
        verdict = v0.verify(secret.encode(), request.headers, request.body, now / 1000, HEADERS)
        return None if verdict.ok else Refusal(UNAUTHENTICATED.status, UNAUTHENTICATED.text, verdict.value)

    def parse_command(self, request: Request) -> ChatCommand | Ignored | Refusal:
        """Read a typed line."""
        found = self.parse(request)
        if isinstance(found, Typing):
            return Ignored(self.preview(found, ()), "preview")
        return found

    def parse(self, request: Request) -> ChatCommand | Typing | Refusal:
        """Read a typed line, or one that is still being typed: both come to the same address."""
        found = _object(request.body)
        if isinstance(found, Refusal):
            return found
        if found.get("version") != _VERSION:
            return Refusal(400, "This App is of another version than the server.", "version")
        user, room = _mapping(found.get("user")), _mapping(found.get("room"))
        team, user_id, room_id = _name(found.get("workspace")), _name(user.get("id")), _name(room.get("id"))
        word, text, request_id = _name(found.get("command")), found.get("text"), found.get("request_id")
        if team is None or user_id is None or room_id is None or word is None:
            return Refusal(400, "The request lacks an id.", "id")
        if not isinstance(text, str) or not isinstance(request_id, str) or not _REQUEST_ID.fullmatch(request_id):
            return Refusal(400, "The request lacks its text or its request id.", "text")
        command = ChatCommand(
            team_id=team,
            user_id=user_id,
            user_name=_name(user.get("username")) or "",
            channel_id=room_id,
            request_id=request_id,
            thread_id=_name(found.get("thread_id")),
            word=f"/{word}",
            text=text,
        )
        match found.get("kind"):
            case "command":
                return command
            case "preview":
                return Typing(command)
            case _:
                return Refusal(400, "The request is of no known kind.", "kind")

    def acknowledgement(self) -> Reply:
        """Return an answer that shows nothing."""
        return json_reply({"answers": []})

    def reply(self, answer: Answer, asked: Asked) -> Reply:
        """Write what the App shows: to the caller alone, unless the answer is one for the room."""
        is_private = answer.private or answer.secret
        text = _with_buttons(answer, asked.origin.word if isinstance(asked.origin, ChatCommand) else "/hook")
        parts = numbered(split(text if is_private else harmless(text), MESSAGE_CHARS - len("(99/99)\n")))
        return json_reply({"answers": [{"to": "caller" if is_private else "room", "text": part} for part in parts]})

    def late(self, answer: Answer, asked: Asked, *, replace: bool = False) -> tuple[bytes, ...]:
        """The App waits for its answer and has no address for a later one."""
        return ()

    def preview(self, typing: Typing, lines: Sequence[str]) -> Reply:
        """Write lines to go on with, after the one that is typed: a client sends its first preview on Enter."""
        typed = typing.command.text
        offered = [typed, *(line for line in lines if line != typed)] if typed.strip() else list(lines)
        shown = enumerate(offered[:MAX_SUGGESTIONS], 1)
        return json_reply({"items": [{"id": str(number), "type": "text", "value": line} for number, line in shown]})


def _with_buttons(answer: Answer, root: str) -> str:
    """Write what a button would do as a line to type, unless the text says it already."""
    typed = [(button.label, f"{root} {button.line}") for button in answer.buttons]
    lines = [f"{label}: `{line}`" for label, line in typed if line not in answer.text]
    return "\n".join([answer.text, *lines])


def _object(body: bytes) -> Mapping[str, object] | Refusal:
    found = parse_json(body)
    if isinstance(found, BodyFault):
        return Refusal(400, found.text, "body")
    return found if isinstance(found, dict) else Refusal(400, "The request is no JSON object.", "body")


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _name(value: object) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= _LONGEST_ID and value.isprintable() else None


APP: Final = RocketChatApp()
ADAPTER: ChatAdapter = APP
