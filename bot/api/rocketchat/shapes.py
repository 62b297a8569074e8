"""What several families of calls show and look up alike: rooms, messages, and the room a call is about."""

from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Collection, Sequence
from typing import Final

from bot.api.rocketchat.calls import ApiRequest
from bot.lists import MAX_ANSWER_BYTES, Listed, chosen, encoded, in_order
from bot.services import Services
from handlers.acting import Stopped
from handlers.errors import Fault
from handlers.rocketchat.query import DEFAULT_COUNT, Item, ListParams, QueryFault, parse_list_params
from handlers.rocketchat.views import JsonObject, message_view, room_view
from storage.clock import Millis, parse_iso
from storage.ids import RoomId, UserId
from storage.records.integration import Hook, direction
from storage.records.message import Message
from storage.records.room import Room, RoomKind, WantedRooms
from storage.records.user import User

HISTORY_COUNT = 20
"""Messages a history call shows unless asked for more (decision 49)."""

TOGETHER: Final = 50
"""Rooms whose counts are read at once, and which are shown before others have their turn."""
PAGE: Final = 500
"""Rooms or users read at once where all of them are looked through."""

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
    named = await services.fanout.named(message)
    return message_view(
        message,
        mentions=named.mentions,
        channels=named.channels,
        urls=named.urls if message.parse_urls else (),
    )


async def rooms_shown(services: Services, rooms: AsyncIterable[Room]) -> AsyncIterator[JsonObject]:
    """Show rooms as they come."""
    async for _, shown in rooms_with_views(services, rooms):
        yield shown


async def rooms_with_views(services: Services, rooms: AsyncIterable[Room]) -> AsyncIterator[tuple[Room, JsonObject]]:
    """Bring rooms with what is shown of them; the counts of some are read together."""
    waiting = list[Room]()
    async for room in rooms:
        waiting.append(room)
        if len(waiting) == TOGETHER:
            for pair in zip(waiting, await rooms_json(services, waiting), strict=True):
                yield pair
            waiting.clear()
    for pair in zip(waiting, await rooms_json(services, waiting), strict=True):
        yield pair


async def rooms_json(services: Services, rooms: Sequence[Room]) -> list[JsonObject]:
    """Show a few rooms; their counts are read at once."""
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


async def listed(
    key: str, items: AsyncIterable[Item], params: ListParams, total: int, *, stopped: bool = False
) -> Listed:
    """Answer with one page of a list (decision 49), `truncated` where not all of it had room.

    `stopped` says that the store held some of the page back already.
    """
    pieces, cut = await encoded(selected(items, params))
    more: JsonObject = {"count": len(pieces), "offset": params.offset, "total": total}
    return Listed(key, pieces, more | ({"truncated": True} if cut or stopped else {}))


async def selected(items: AsyncIterable[Item], params: ListParams) -> AsyncIterator[Item]:
    """Leave of each item the fields that are asked for."""
    async for item in items:
        yield params.select(item)


async def list_rooms(
    services: Services, request: ApiRequest, key: str, kind: RoomKind, of: UserId | None = None
) -> Listed | Fault:
    """Answer a list call with rooms of a kind, or those a user is in, by name unless asked otherwise."""
    params = list_params(request, ROOM_FIELDS)
    if isinstance(params, Fault):
        return params
    wanted = WantedRooms(org_id=services.directory.org, kind=kind, member=of)
    if params.is_plain:
        rooms, total = await services.store.room_page(wanted, offset=params.offset, count=params.count)
    else:
        rooms, total = await chosen(rooms_with_views(services, rooms_in_pages(services, wanted)), params)
    return await listed(key, rooms_shown(services, in_order(rooms)), params, total)


async def list_users(
    read: Callable[..., Awaitable[tuple[list[User], int]]],
    view: Callable[[User], JsonObject],
    params: ListParams,
    key: str,
) -> Listed:
    """Answer a list call with users, of which `read` returns a page by `offset` and `count`."""
    if params.is_plain:
        users, total = await read(offset=params.offset, count=params.count)
    else:
        users, total = await chosen(_users_with_views(read, view), params)
    return await listed(key, in_order(map(view, users)), params, total)


async def _users_with_views(
    read: Callable[..., Awaitable[tuple[list[User], int]]], view: Callable[[User], JsonObject]
) -> AsyncIterator[tuple[User, JsonObject]]:
    done, total = 0, 1
    while done < total:
        users, total = await read(offset=done, count=PAGE)
        done += PAGE
        for user in users:
            yield user, view(user)


def rooms_of(services: Services, user: User, since: Millis | None) -> AsyncIterator[JsonObject]:
    """Show the rooms a user is in, by name, or those of them that something happened in since."""
    wanted = WantedRooms(org_id=services.directory.org, member=user.id, since=since)
    return rooms_shown(services, rooms_in_pages(services, wanted))


async def rooms_in_pages(services: Services, wanted: WantedRooms) -> AsyncIterator[Room]:
    """Bring rooms by name, a page at a time."""
    read, total = 0, 1
    while read < total:
        rooms, total = await services.store.room_page(wanted, offset=read, count=PAGE)
        read += PAGE
        for room in rooms:
            yield room


async def history(services: Services, request: ApiRequest, room: Room) -> Listed | Fault:
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
        most_bytes=MAX_ANSWER_BYTES,
    )
    stopped = len(found) < min(params.count, total - params.offset)
    return await listed("messages", messages_shown(services, found), params, total, stopped=stopped)


async def messages_shown(services: Services, messages: Sequence[Message]) -> AsyncIterator[JsonObject]:
    """Show messages one by one."""
    for message in messages:
        yield await message_json(services, message)


def moment(request: ApiRequest, name: str) -> Millis | Fault | None:
    """Read a parameter that is an ISO 8601 moment; None when it was not sent."""
    text = request.text(name)
    if text is None:
        return None
    found = parse_iso(text)
    if found is None:
        return Fault(f'The "{name}" query parameter must be a valid date.', f"error-{name}-param-invalid")
    return found
