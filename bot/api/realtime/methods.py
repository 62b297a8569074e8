"""The methods bots call, by their names on the wire (`rocketchat.md` §8 and §11.2)."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from bot.api.realtime.protocol import MOST_NAME, Encoded, read_date, with_dates
from bot.api.realtime.streams import Listener, Streams
from bot.api.rocketchat.chat import INVALID_ROOM, send
from bot.api.rocketchat.commands import PARAMS_NO_TEXT, RUN_NEEDS_COMMAND, RUN_NEEDS_ROOM, UNKNOWN
from bot.api.rocketchat.shapes import message_json, messages_shown, rooms_of
from bot.lists import MAX_ANSWER_BYTES, Listed, encoded
from bot.services import Services
from bot.workspace.posting import NOT_ALLOWED
from handlers.errors import Fault
from handlers.rocketchat.views import room_reference
from storage.ids import RoomId
from storage.records.room import Room
from storage.records.user import User

INVALID_USER = Fault("Invalid user", "error-invalid-user")
MOST_HISTORY = 100
"""Messages `loadHistory` returns at once; the next page begins where one ends."""
HISTORY = 50
MAX_RESULT_BYTES = MAX_ANSWER_BYTES // 2
"""Half of what may wait for one socket: a client with a full list under way still hears its rooms."""


@dataclass(frozen=True, slots=True)
class MethodCall:
    """One call of somebody who is logged in."""

    services: Services
    streams: Streams
    origin: Listener
    user: User
    params: Sequence[object]

    def at(self, index: int) -> object:
        """Return a parameter; None when it was not sent."""
        return self.params[index] if index < len(self.params) else None

    def text(self, index: int) -> str:
        """Return a parameter that names something; anything else is an empty text, which names nothing."""
        value = self.at(index)
        return value if isinstance(value, str) and len(value) <= MOST_NAME else ""

    def fields(self, index: int) -> Mapping[str, object]:
        """Return a parameter that is an object; anything else is an empty one."""
        value = self.at(index)
        return value if isinstance(value, dict) else {}

    async def room(self, room_id: str) -> Room | None:
        """Find a room by id, if the caller may enter it."""
        room = await self.services.directory.room(RoomId(room_id))
        return room if room and await self.services.posting.may_enter(room, self.user) else None


async def rooms_get(call: MethodCall) -> object:
    """List the caller's rooms; with a date those changed since, in an object (decision 55)."""
    since = read_date(call.at(0))
    rooms = rooms_of(call.services, call.user, since)
    pieces, cut = await encoded((with_dates(room) async for room in rooms), most=MAX_RESULT_BYTES)
    if since is None:
        return Encoded(Listed("update", pieces, {}).array())
    return Encoded(Listed("update", pieces, {"remove": [], **({"truncated": True} if cut else {})}).body())


async def send_message(call: MethodCall) -> object:
    """Post a message object; an id that is there already posts nothing (decision 56)."""
    message = await send(call.services, call.user, call.at(0))
    return message if isinstance(message, Fault) else with_dates(await message_json(call.services, message))


async def set_reaction(call: MethodCall) -> object:
    """Add a reaction or take it back; without the third parameter it is switched."""
    add = call.at(2)
    reacted = await call.services.messages.react(
        call.user, call.text(1), call.text(0), add=add if isinstance(add, bool) else None
    )
    return reacted if isinstance(reacted, Fault) else None


async def room_id_by_name_or_id(call: MethodCall) -> object:
    """Tell the id of a room the caller may enter."""
    name = call.text(0)
    named = None if await call.room(name) else await call.services.directory.room_named(name)
    room = await call.room(named.id if named else name)
    return NOT_ALLOWED if room is None else room.id


async def room_name_by_id(call: MethodCall) -> object:
    """Tell the name of a room the caller may enter; direct rooms have none."""
    room = await call.room(call.text(0))
    return NOT_ALLOWED if room is None else room.name


async def join_room(call: MethodCall) -> object:
    """Enter a public room; whoever is in a room already stays there."""
    room = await call.room(call.text(0))
    if room is None:
        return INVALID_ROOM
    if await call.services.directory.member(room.id, call.user.id) is not None:
        return True
    joined = await call.services.rooms.join(call.user, room)
    return joined if isinstance(joined, Fault) else True


async def create_direct_message(call: MethodCall) -> object:
    """Open the direct room with somebody, by user name."""
    other = await call.services.directory.user_named(call.text(0))
    if other is None or not other.active:
        return INVALID_USER
    room = await call.services.rooms.open_direct(call.user, other)
    return {"rid": room.id, **room_reference(room, await call.services.directory.participants(room))}


async def notify_room(call: MethodCall) -> object:
    """Tell the others in a room that somebody is typing; nothing is stored."""
    return await call.streams.activity(call.origin, call.user, call.text(0), call.params[1:])


async def slash_command(call: MethodCall) -> object:
    """Run a command in the room of its message; the answer also comes as a caller-only message (decision 57)."""
    given, message = call.fields(0), call.fields(0).get("msg")
    place = message if isinstance(message, dict) else {}
    name, params, room_id, thread_id = given.get("cmd"), given.get("params") or "", place.get("rid"), place.get("tmid")
    if not isinstance(name, str):
        return RUN_NEEDS_COMMAND
    if not isinstance(params, str):
        return PARAMS_NO_TEXT
    if not isinstance(room_id, str):
        return RUN_NEEDS_ROOM
    thread_id = thread_id if isinstance(thread_id, str) and thread_id else None
    command = call.services.commands.find(name)
    if command is None:
        return UNKNOWN
    room = await call.services.commands.place(call.user, room_id, thread_id)
    if isinstance(room, Fault):
        return room
    trigger_id = given.get("triggerId")
    return await call.services.commands.run(
        call.user,
        room,
        command,
        params,
        thread_id=thread_id,
        request_id=trigger_id if isinstance(trigger_id, str) else None,
    )


async def load_history(call: MethodCall) -> object:
    """Return messages of a room, newest first: `(rid, end?, limit?)`."""
    room = await call.room(call.text(0))
    if room is None:
        return INVALID_ROOM
    limit = call.at(2)
    count = min(limit, MOST_HISTORY) if isinstance(limit, int) and limit > 0 else HISTORY
    found, total = await call.services.store.messages(
        room.id, latest=read_date(call.at(1)), count=count, most_bytes=MAX_RESULT_BYTES
    )
    shown = (with_dates(message) async for message in messages_shown(call.services, found))
    pieces, cut = await encoded(shown, most=MAX_RESULT_BYTES)
    stopped = cut or len(found) < min(count, total)
    return Encoded(Listed("messages", pieces, {"truncated": True} if stopped else {}).body())


async def replay_outgoing(call: MethodCall) -> object:
    """Run an entry of an outgoing hook's history again (§8)."""
    wanted = call.fields(0)
    hook_id, entry_id = wanted.get("integrationId"), wanted.get("historyId")
    fault = await call.services.replay.replay(
        call.user, hook_id if isinstance(hook_id, str) else "", entry_id if isinstance(entry_id, str) else ""
    )
    return fault or True


async def clear_history(call: MethodCall) -> object:
    """Forget an outgoing hook's history (§8)."""
    return await call.services.replay.clear(call.user, call.text(0)) or True


METHODS: Mapping[str, Callable[[MethodCall], Awaitable[object]]] = {
    "rooms/get": rooms_get,
    "sendMessage": send_message,
    "setReaction": set_reaction,
    "getRoomIdByNameOrId": room_id_by_name_or_id,
    "getRoomNameById": room_name_by_id,
    "joinRoom": join_room,
    "createDirectMessage": create_direct_message,
    "stream-notify-room": notify_room,
    "slashCommand": slash_command,
    "loadHistory": load_history,
    "replayOutgoingIntegration": replay_outgoing,
    "clearIntegrationHistory": clear_history,
}
