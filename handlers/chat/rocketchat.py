"""Rocket.Chat by outgoing webhook: a trigger word in a room, answered in that room (chat-dialects.md §3.2, §3.3).

Line and answer are public, and there is no response address: what is secret goes out as a direct message.
"""

from typing import Final
from urllib.parse import urlencode

from handlers.chat_adapter import (
    UNAUTHENTICATED,
    Asked,
    ChatAdapter,
    ChatCommand,
    Direct,
    Ignored,
    Refusal,
    Reply,
    Request,
    json_reply,
    request_key,
    to_json,
)
from handlers.chat_fields import MALFORMED, Fields, address, identifier, inner, label, object_of, text
from handlers.chat_text import harmless, shortened, split
from handlers.command import Answer, Dialect, Door
from handlers.signing import token
from storage.clock import Millis

LONGEST: Final = 5_000
"""Rocket.Chat's default limit of a message; the answer is one message."""
ROOT: Final = "!hook"
MOST_DIRECT: Final = 10

_LEFT_OUT_ROOM = 120


class RocketChat:
    """The adapter; see `ChatAdapter`."""

    name: Final = "rocketchat"
    door: Final = Door(name="rocketchat", signed=False, whispers=False, dialect=Dialect.ROCKETCHAT, public_lines=True)
    base_url: Final = None
    edits: Final = False

    def probe(self, request: Request) -> Reply | None:
        """Rocket.Chat never only asks whether somebody is there."""
        return None

    def team_of(self, request: Request) -> str | None:
        """Return the server's own address, which stands for its site, without a slash at the end."""
        found = object_of(request.body)
        site = None if found is None else address(found, "siteUrl")
        return None if site is None else site.rstrip("/")

    def authenticate(self, request: Request, secret: str, now: Millis) -> Refusal | None:
        """Check the token, which stands in the body."""
        found = object_of(request.body)
        verdict = token.verify(secret, None if found is None else text(found, "token"))
        return None if verdict.ok else Refusal(UNAUTHENTICATED.status, UNAUTHENTICATED.text, verdict.value)

    def parse_command(self, request: Request) -> ChatCommand | Ignored | Refusal:
        """Read a message that begins with the trigger word; those of bots are left alone, or two would talk."""
        found = object_of(request.body)
        if found is None:
            return MALFORMED
        if found.get("bot"):
            return Ignored(self.acknowledgement(), "bot")
        said, message_id = text(found, "text"), identifier(found, "message_id")
        if said is None or message_id is None:
            return Ignored(self.acknowledgement(), "event")
        word = _word(said, text(found, "trigger_word") or ROOT)
        if word is None:
            return Ignored(self.acknowledgement(), "trigger")
        return self._command(request, found, word, said, message_id)

    def acknowledgement(self) -> Reply:
        """Return an empty object: an empty body counts as a failed call there."""
        return json_reply({})

    def reply(self, answer: Answer, asked: Asked) -> Reply:
        """Write one message for the room; what only the caller may read goes to them directly."""
        if not answer.secret:
            return json_reply({"text": _for_room(answer.text)})
        name = asked.origin.user_name or "you"
        said = answer.public_text or f"The answer was sent to @{name} directly."
        parts = tuple(shortened(split(answer.text, LONGEST), MOST_DIRECT))
        return json_reply({"text": _for_room(said)}, direct=Direct(asked.origin.user_id, asked.origin.user_name, parts))

    def late(self, answer: Answer, asked: Asked, *, replace: bool = False) -> tuple[bytes, ...]:
        """There is no address for a later answer."""
        return ()

    def _command(self, request: Request, found: Fields, word: str, said: str, message_id: str) -> ChatCommand | Refusal:
        team, user, channel = self.team_of(request), identifier(found, "user_id"), identifier(found, "channel_id")
        if not (team and user and channel):
            return MALFORMED
        return ChatCommand(
            team_id=team,
            user_id=user,
            user_name=label(found, "user_name"),
            channel_id=channel,
            channel_name=label(found, "channel_name"),
            direct="channel_name" not in found,  # direct rooms have no name (rocketchat.md §7)
            # an edited message comes again under its id, and is answered as before
            request_id=request_key(message_id),
            thread_id=identifier(found, "tmid"),
            word=word,
            text=said[len(word) :].strip(),
            message_id=message_id,
        )


def direct_call(direct: Direct, bot_token: str) -> tuple[dict[str, str], tuple[bytes, ...]] | None:
    """Return headers and bodies for `chat.postMessage`; the token is `USER_ID:TOKEN`, None when it is not.

    The room is named by the id of the person: a name could be taken by somebody else.
    """
    headers = _headers(bot_token)
    if headers is None:
        return None
    return headers, tuple(to_json({"channel": f"@{direct.user_id}", "text": part}) for part in direct.texts)


def looking(command: ChatCommand, bot_token: str) -> tuple[dict[str, str], str] | None:
    """Return headers and path to read the message a line is; None when there is none, or no usable token."""
    headers = _headers(bot_token)
    if headers is None or command.message_id is None:
        return None
    return headers, f"/api/v1/chat.getMessage?{urlencode({'msgId': command.message_id})}"


def deletion(command: ChatCommand, found: bytes) -> bytes | None:
    """Return the body of `chat.delete` for a line as the server has it; None when that is another message.

    Whoever has the hook's token can name any message (decision 62), so only what stands there is believed.
    """
    message = inner(object_of(found) or {}, "message")
    there = (text(message, "_id"), text(message, "rid"), text(inner(message, "u"), "_id"))
    same = there == (command.message_id, command.channel_id, command.user_id)
    said = text(message, "msg") or ""
    if not same or _word(said, command.word) is None or said[len(command.word) :].strip() != command.text:
        return None
    return to_json({"roomId": command.channel_id, "msgId": command.message_id})


def _headers(bot_token: str) -> dict[str, str] | None:
    user_id, colon, secret = bot_token.partition(":")
    if not (colon and user_id and secret):
        return None
    return {"X-User-Id": user_id, "X-Auth-Token": secret, "Content-Type": "application/json"}


def _word(said: str, trigger: str) -> str | None:
    """Return the trigger word as typed, when the message begins with it as a whole word."""
    typed = said[: len(trigger)]
    rest = said[len(trigger) :]
    is_word = typed.casefold() == trigger.casefold() and (not rest or rest[0].isspace())
    return typed if is_word and trigger.strip() else None


def _for_room(said: str) -> str:
    """Return one message that calls nobody; what does not fit is told, not silently cut."""
    parts = shortened(split(harmless(said, code_too=True), LONGEST - _LEFT_OUT_ROOM), 1)
    return "\n".join(parts)


ADAPTER: ChatAdapter = RocketChat()
