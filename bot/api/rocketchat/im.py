"""`im.*`, also called `dm.*`: direct rooms of two users (decision 49)."""

from bot.api.rocketchat.calls import ApiRequest, Reply, listing, post, texts
from bot.api.rocketchat.shapes import history, list_rooms, room_of
from bot.services import Services
from handlers.errors import Fault
from storage.records.room import RoomKind

NO_USER_GIVEN = Fault('The "username" or "usernames" param is required', "error-user-param-not-provided")
INVALID_USER = Fault("Invalid user", "error-invalid-user")
TOO_MANY = Fault("A direct room has two users; make a private group for more", "error-not-allowed")


async def create(services: Services, request: ApiRequest) -> Reply:
    """Open the direct room with another user; `usernames` may name the caller too."""
    # a list, or one text with commas as the original takes it
    given = [request.text("username") or "", *texts(request.params.get("usernames"))]
    names = [name.strip() for text in given for name in text.split(",") if name.strip()]
    if not names:
        return NO_USER_GIVEN
    found = [await services.directory.user_named(name) for name in names]
    users = {user.id: user for user in found if user is not None and user.active}
    if len(users) < len({name.lower() for name in names}):
        return INVALID_USER
    others = [user for user in users.values() if user.id != request.user.id] or [request.user]
    if len(others) > 1:
        return TOO_MANY
    room = await services.rooms.open_direct(request.user, others[0])
    return {"room": {**await services.fanout.room_json(room), "rid": room.id}}


async def list_them(services: Services, request: ApiRequest) -> Reply:
    """List the caller's direct rooms."""
    return await list_rooms(services, request, "ims", RoomKind.DIRECT, request.user.id)


async def show_history(services: Services, request: ApiRequest) -> Reply:
    """Show a page of a direct room's messages."""
    room = await room_of(services, request, RoomKind.DIRECT)
    return room if isinstance(room, Fault) else await history(services, request, room)


CALLS = tuple(
    call
    for family in ("im", "dm")
    for call in (
        post(f"{family}.create", create),
        listing(f"{family}.list", list_them),
        listing(f"{family}.history", show_history),
    )
)
