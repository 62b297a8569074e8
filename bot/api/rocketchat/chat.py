"""Posting, changing and reading single messages: `chat.*` (`rocketchat.md` §10, decisions 49 and 56)."""

import re
from collections.abc import Mapping

from bot.api.rocketchat.calls import ApiRequest, Call, Reply, get, post
from bot.api.rocketchat.shapes import message_json
from bot.services import Services
from bot.workspace.posting import INVALID_CHANNEL
from handlers.errors import Fault
from handlers.message import Defaults, Draft, DraftFault, read_draft
from handlers.rocketchat.validation import Branch, Field, Schema
from storage.ids import MessageId, RoomId
from storage.records.message import Message
from storage.records.user import User

NO_MESSAGE = Fault('The "message" parameter must be provided.', "error-invalid-params")
NO_ROOM = Fault("The 'rid' property on the message object is missing.")
INVALID_ROOM = Fault("Invalid room", "error-invalid-room")
INVALID_ID = Fault('The "_id" of a message must be 1 to 64 letters and digits.', "error-invalid-params")
ID_IN_USE = Fault("This message id is already in use; choose another one.")
NO_EMOJI = Fault('The required "emoji" param is missing.', "error-emoji-param-not-provided")

_ID = re.compile(r"[A-Za-z0-9]{1,64}")
_MESSAGE_KEYS = frozenset(
    {"msg", "alias", "avatar", "emoji", "attachments", "tmid", "parseUrls", "groupable", "customFields"}
)


async def post_message(services: Services, request: ApiRequest) -> Reply:
    """Post to one or several rooms and answer with the first message (§10)."""
    draft = _read(services, request.params)
    if isinstance(draft, Fault):
        return draft
    if not draft.has_destination:
        return INVALID_CHANNEL
    prepared = await services.posting.prepare(draft, request.user, draft.destinations)
    if isinstance(prepared, Fault):
        return prepared
    await services.store.commit(prepared.changes)
    first = prepared.messages[0]
    return {"ts": first.at, "channel": draft.destinations[0], "message": await message_json(services, first)}


async def send_message(services: Services, request: ApiRequest) -> Reply:
    """Post one message into the room of its `rid` (§10)."""
    message = await send(services, request.user, request.params.get("message"))
    return message if isinstance(message, Fault) else {"message": await message_json(services, message)}


async def send(services: Services, sender: User, given: object) -> Message | Fault:
    """Post a message object as REST and socket clients send it.

    With a chosen `_id` that is there already nothing is posted; the sender gets back what stands there, as far
    as it is a message of the sender's own (decision 56).
    """
    if not isinstance(given, Mapping) or not given:
        return NO_MESSAGE
    room_id, message_id = given.get("rid"), given.get("_id")
    if not isinstance(room_id, str) or not room_id:
        return NO_ROOM
    if message_id is not None and not (isinstance(message_id, str) and _ID.fullmatch(message_id)):
        return INVALID_ID
    chosen = MessageId(message_id) if message_id else None
    if chosen and await services.store.message(chosen):
        return await _already_there(services, sender, chosen)
    # unlike a channel of postMessage, `rid` is never a name; a room one may not enter is not told apart from none
    room = await services.directory.room(RoomId(room_id))
    if room is None or not await services.posting.may_enter(room, sender):
        return INVALID_ROOM
    draft = _read(services, {"groupable": True, **{key: given[key] for key in given.keys() & _MESSAGE_KEYS}})
    if isinstance(draft, Fault):
        return draft
    prepared = await services.posting.prepare(draft, sender, [room_id], message_id=chosen)
    if isinstance(prepared, Fault):
        return prepared
    committed = await services.store.commit(prepared.changes)
    if chosen and committed.existed:
        return await _already_there(services, sender, chosen)
    return prepared.messages[0]


async def update(services: Services, request: ApiRequest) -> Reply:
    """Change the text of a message."""
    room_id, message_id, text = (str(request.params[key]) for key in ("roomId", "msgId", "text"))
    message = await services.messages.edit(request.user, room_id, message_id, text)
    return message if isinstance(message, Fault) else {"message": await message_json(services, message)}


async def delete(services: Services, request: ApiRequest) -> Reply:
    """Remove a message."""
    room_id, message_id = (str(request.params[key]) for key in ("roomId", "msgId"))
    message = await services.messages.delete(request.user, room_id, message_id)
    if isinstance(message, Fault):
        return message
    author = {"_id": message.user_id, "username": message.username, "name": message.name}
    return {
        "_id": message.id,
        "ts": str(services.clock.now()),
        "message": {"_id": message.id, "rid": message.room_id, "u": author},
    }


async def get_message(services: Services, request: ApiRequest) -> Reply:
    """Show one message."""
    found = await services.messages.find(request.user, str(request.params["msgId"]))
    return found if isinstance(found, Fault) else {"message": await message_json(services, found[0])}


async def react(services: Services, request: ApiRequest) -> Reply:
    """Add a reaction or take it back; without `shouldReact` it is switched."""
    emoji = request.text("emoji") or request.text("reaction")
    if emoji is None:
        return NO_EMOJI
    message_id = str(request.params["messageId"])
    reacted = await services.messages.react(request.user, message_id, emoji, add=request.flag("shouldReact"))
    return reacted if isinstance(reacted, Fault) else {}


async def _already_there(services: Services, sender: User, message_id: MessageId) -> Message | Fault:
    found = await services.messages.find(sender, message_id)
    return ID_IN_USE if isinstance(found, Fault) or found[0].user_id != sender.id else found[0]


def _read(services: Services, body: Mapping[str, object]) -> Draft | Fault:
    draft = read_draft(body, Defaults(), max_chars=services.settings.message_max_chars)
    if isinstance(draft, DraftFault):
        return Fault(code=draft.error) if draft.is_code else Fault(draft.error)
    return draft


def _texts(*names: str) -> Schema:
    return (Branch(tuple(Field(name) for name in names), required=names, closed=False),)


CALLS: tuple[Call, ...] = (
    post("chat.postMessage", post_message),
    post("chat.sendMessage", send_message),
    post("chat.update", update, schema=_texts("roomId", "msgId", "text")),
    post("chat.delete", delete, schema=_texts("roomId", "msgId")),
    get("chat.getMessage", get_message, schema=_texts("msgId")),
    post("chat.react", react, schema=_texts("messageId")),
)
