"""What several families of calls show and look up alike: rooms, messages, and the room a call is about."""

from collections.abc import Collection, Iterable, Mapping, Sequence

from bot.api.rocketchat.calls import ApiRequest
from bot.services import Services
from handlers.acting import Stopped
from handlers.errors import Fault
from handlers.rocketchat.query import DEFAULT_COUNT, ListParams, QueryFault, page, parse_list_params
from handlers.rocketchat.views import JsonObject, message_view, room_view
from storage.clock import Millis, parse_iso
from storage.ids import RoomId
from storage.records.integration import Hook, direction
from storage.records.message import Message
from storage.records.room import Room, RoomKind

HISTORY_COUNT = 20
"""Messages a history call shows unless asked for more (decision 49)."""

ROOM_FIELDS = frozenset(
    {"_id", "t", "name", "fname", "usernames", "uids", "usersCount", "msgs", "u._id", "u.username"}
    | {"topic", "description", "ro", "archived", "default", "ts", "_updatedAt"}
)
"""What lists of rooms may be filtered and sorted by: all that they show."""

ROOM_NEEDED = Fault('The parameter "roomId" or "roomName" is required', "error-roomid-param-not-provided")


def room_not_found(kind: RoomKind | None = None) -> Fault:
    """Say that no room matches; a group is not called a channel (decision 49)."""
    word = "group" if kind is RoomKind.PRIVATE else "channel"
    return Fault(
        f'The required "roomId" or "roomName" param provided does not match any {word}', "error-room-not-found"
    )


async def room_of(services: Services, request: ApiRequest, kind: RoomKind | None = None) -> Room | Fault:
    """Find the room `roomId` or `roomName` names, of that kind, if the caller may enter it.

    A room the caller may not enter does not exist for them, whatever their role.
    """
    room_id, name = request.text("roomId"), request.text("roomName")
    if room_id is not None:
        room = await services.directory.room(RoomId(room_id))
    elif name is not None:
        room = await services.directory.room_named(name)
    else:
        return ROOM_NEEDED
    wrong_kind = room is not None and kind is not None and room.kind is not kind
    if room is None or wrong_kind or not await services.posting.may_enter(room, request.user):
        return room_not_found(kind)
    return room


async def message_json(services: Services, message: Message) -> JsonObject:
    """Show a message with what its text names."""
    named = await services.fanout.named(message.text)
    return message_view(
        message,
        mentions=named.mentions,
        channels=named.channels,
        urls=named.urls if message.parse_urls else (),
    )


async def rooms_json(services: Services, rooms: Sequence[Room]) -> list[JsonObject]:
    """Show many rooms; their counts are read at once."""
    counts = await services.store.room_counts([room.id for room in rooms]) if rooms else {}
    shown = []
    for room in rooms:
        members, messages, _ = counts.get(room.id, (0, 0, None))
        shown.append(
            room_view(
                room,
                owner=await services.directory.user(room.owner_id) if room.owner_id else None,
                participants=await services.directory.participants(room),
                users_count=members,
                messages_count=messages,
            )
        )
    return shown


def hook_reference(hook: Hook) -> JsonObject:
    """Name a webhook in an answer about something else."""
    return {"_id": hook.id, "name": hook.name, "type": direction(hook).value}


def stopped_json(stopped: Sequence[Stopped]) -> JsonObject:
    """Name the webhooks that a change of somebody's rights stopped, and why; nothing where there are none."""
    shown = [{**hook_reference(one.hook), "reason": one.why} for one in stopped]
    return {"stoppedIntegrations": shown} if shown else {}


def list_params(
    request: ApiRequest, visible: Collection[str] = (), *, default_count: int = DEFAULT_COUNT
) -> ListParams | Fault:
    """Read paging, `sort`, `fields` and `query` of a list call (`rocketchat.md` §1.4)."""
    params = parse_list_params(request.params, visible=visible, default_count=default_count)
    if isinstance(params, QueryFault):
        return Fault(params.error.removesuffix(f" [{params.error_type}]"), params.error_type, params.details)
    return params


def listed(key: str, items: Sequence[Mapping[str, object]], params: ListParams, total: int) -> JsonObject:
    """Wrap one page of a list as list calls answer it (decision 49)."""
    return {key: items, "count": len(items), "offset": params.offset, "total": total}


async def list_rooms(services: Services, request: ApiRequest, key: str, rooms: Iterable[Room]) -> JsonObject | Fault:
    """Answer a list call with rooms, by name unless asked otherwise."""
    params = list_params(request, ROOM_FIELDS)
    if isinstance(params, Fault):
        return params
    found = sorted(rooms, key=lambda room: (room.name or "").lower())
    if request.params.get("query") or params.sort:
        shown, total = page(await rooms_json(services, found), params)
        return listed(key, shown, params, total)
    # only the asked-for page is counted and shown
    chosen = await rooms_json(services, found[params.offset : params.offset + params.count])
    return listed(key, [params.select(room) for room in chosen], params, len(found))


async def history(services: Services, request: ApiRequest, room: Room) -> JsonObject | Fault:
    """Answer a history call: newest first, between `oldest` and `latest` (decision 49)."""
    params = list_params(request, default_count=HISTORY_COUNT)
    if isinstance(params, Fault):
        return params
    latest, oldest = moment(request, "latest"), moment(request, "oldest")
    if isinstance(latest, Fault):
        return latest
    if isinstance(oldest, Fault):
        return oldest
    found, total = await services.store.messages(
        room.id,
        latest=latest,
        oldest=oldest,
        inclusive=request.flag("inclusive") or False,
        offset=params.offset,
        count=params.count,
    )
    shown = [params.select(await message_json(services, message)) for message in found]
    return listed("messages", shown, params, total)


def moment(request: ApiRequest, name: str) -> Millis | Fault | None:
    """Read a parameter that is an ISO 8601 moment; None when it was not sent."""
    text = request.text(name)
    if text is None:
        return None
    found = parse_iso(text)
    if found is None:
        return Fault(f'The "{name}" query parameter must be a valid date.', f"error-{name}-param-invalid")
    return found
