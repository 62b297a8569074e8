"""The calls `channels.` and `groups.` have in common, declared once for both (decision 49)."""

from dataclasses import dataclass
from functools import partial

from bot.api.rocketchat.calls import ApiRequest, Call, Handle, Reply, get, listing, post, texts
from bot.api.rocketchat.shapes import history, list_params, list_rooms, list_users, room_of, stopped_json
from bot.services import Services
from bot.workspace.rooms import Left
from handlers.errors import Fault
from handlers.rocketchat.views import user_fields_for, user_view_for
from storage.ids import UserId
from storage.records.room import Room, RoomKind
from storage.records.user import User

NO_USER_GIVEN = Fault('The required "userId" or "username" param was not provided', "error-user-param-not-provided")
NO_USERS_GIVEN = Fault(
    'Please provide "userId" or "username" or "userIds" or "usernames" as param', "error-users-params-not-provided"
)
UNKNOWN_USER = Fault(
    'The required "userId" or "username" param provided does not match any users', "error-invalid-user"
)
NOBODY_TO_INVITE = Fault("Cannot invite if no valid users are provided", "invalid-user-invite-list")


@dataclass(frozen=True, slots=True)
class RoomsOfKind:
    """The calls for one kind of room; `family` begins their names, `one` is the key of a room in answers."""

    kind: RoomKind
    family: str
    one: str

    def calls(self) -> tuple[Call, ...]:
        """Return what both families offer."""
        lists: dict[str, Handle] = {
            "list": self.list_them,
            "history": self.history,
            "members": self.members,
        }
        writes: dict[str, Handle] = {
            "create": self.create,
            "invite": self.invite,
            "kick": self.kick,
            "leave": self.leave,
            "archive": self.archive,
            "unarchive": self.unarchive,
            "rename": self.rename,
            "setReadOnly": self.set_read_only,
        }
        return (
            *(listing(f"{self.family}.{name}", handle) for name, handle in lists.items()),
            get(f"{self.family}.info", self.info),
            *(post(f"{self.family}.{name}", handle) for name, handle in writes.items()),
        )

    # --- reading ------------------------------------------------------------------------------------

    async def list_them(self, services: Services, request: ApiRequest) -> Reply:
        """List all public rooms, or the private ones the caller is in."""
        of = None if self.kind is RoomKind.PUBLIC else request.user.id
        return await list_rooms(services, request, self.family, self.kind, of)

    async def list_joined(self, services: Services, request: ApiRequest) -> Reply:
        """List the rooms the caller is in."""
        return await list_rooms(services, request, self.family, self.kind, request.user.id)

    async def info(self, services: Services, request: ApiRequest) -> Reply:
        """Show one room."""
        return await self._answer(services, await self._room(services, request))

    async def history(self, services: Services, request: ApiRequest) -> Reply:
        """Show a page of a room's messages."""
        room = await self._room(services, request)
        return room if isinstance(room, Fault) else await history(services, request, room)

    async def members(self, services: Services, request: ApiRequest) -> Reply:
        """List who is in a room, by user name unless asked otherwise."""
        room = await self._room(services, request)
        if isinstance(room, Fault):
            return room
        params = list_params(request, user_fields_for(request.user))
        if isinstance(params, Fault):
            return params
        read = partial(services.store.member_page, room.id)
        return await list_users(read, partial(user_view_for, request.user), params, "members")

    # --- changing -----------------------------------------------------------------------------------

    async def create(self, services: Services, request: ApiRequest) -> Reply:
        """Make a room; names of nobody among the members are passed over, as Rocket.Chat does."""
        name, names = request.text("name"), request.params.get("members")
        if name is None:
            return Fault('Param "name" is required')
        if names is not None and not isinstance(names, list):
            return Fault('Param "members" must be an array if provided')
        found = [await services.directory.user_named(one) for one in texts(names)]
        members = [user for user in found if user is not None and user.active]
        read_only = request.flag("readOnly") or False
        room = await services.rooms.create(request.user, name, self.kind, members, read_only=read_only)
        return await self._answer(services, room)

    async def invite(self, services: Services, request: ApiRequest) -> Reply:
        """Bring one or several users into a room."""
        room = await self._open_room(services, request)
        if isinstance(room, Fault):
            return room
        users = await _users_of(services, request)
        if isinstance(users, Fault):
            return users
        return await self._answer(services, await services.rooms.invite(request.user, room, users))

    async def kick(self, services: Services, request: ApiRequest) -> Reply:
        """Put a user out of a room."""
        room = await self._open_room(services, request)
        if isinstance(room, Fault):
            return room
        user = await _user_of(services, request)
        if isinstance(user, Fault):
            return user
        return await self._left(services, await services.rooms.kick(request.user, room, user))

    async def join(self, services: Services, request: ApiRequest) -> Reply:
        """Enter a public room."""
        room = await self._open_room(services, request)
        return await self._answer(
            services, room if isinstance(room, Fault) else await services.rooms.join(request.user, room)
        )

    async def leave(self, services: Services, request: ApiRequest) -> Reply:
        """Leave a room."""
        room = await self._open_room(services, request)
        return await self._left(
            services, room if isinstance(room, Fault) else await services.rooms.leave(request.user, room)
        )

    async def archive(self, services: Services, request: ApiRequest) -> Reply:
        """Close a room for messages."""
        return await self._set_archived(services, request, archived=True)

    async def unarchive(self, services: Services, request: ApiRequest) -> Reply:
        """Open a room again."""
        return await self._set_archived(services, request, archived=False)

    async def rename(self, services: Services, request: ApiRequest) -> Reply:
        """Give a room another name."""
        name = request.text("name")
        if name is None or not name.strip():
            return Fault('The bodyParam "name" is required')
        room = await self._open_room(services, request)
        return await self._answer(
            services, room if isinstance(room, Fault) else await services.rooms.rename(request.user, room, name)
        )

    async def set_read_only(self, services: Services, request: ApiRequest) -> Reply:
        """Let only owners and admins post, or everybody again."""
        read_only = request.flag("readOnly")
        if read_only is None:
            return Fault('The bodyParam "readOnly" is required')
        room = await self._open_room(services, request)
        if isinstance(room, Fault):
            return room
        changed = await services.rooms.set_read_only(request.user, room, read_only=read_only)
        return await self._answer(services, changed)

    # --- shared -------------------------------------------------------------------------------------

    async def _room(self, services: Services, request: ApiRequest) -> Room | Fault:
        return await room_of(services, request, self.kind)

    async def _open_room(self, services: Services, request: ApiRequest) -> Room | Fault:
        """Find a room that may be changed: an archived one has to be opened again first."""
        room = await self._room(services, request)
        if isinstance(room, Room) and room.archived:
            word = "private group" if self.kind is RoomKind.PRIVATE else "channel"
            return Fault(f"The {word}, {room.name}, is archived", "error-room-archived")
        return room

    async def _set_archived(self, services: Services, request: ApiRequest, *, archived: bool) -> Reply:
        room = await self._room(services, request)
        if isinstance(room, Fault):
            return room
        changed = await services.rooms.archive(request.user, room, archived=archived)
        return changed if isinstance(changed, Fault) else {}

    async def _left(self, services: Services, left: Left | Fault) -> Reply:
        """Answer with a room somebody is out of now, and the webhooks that this stopped."""
        if isinstance(left, Fault):
            return left
        return {self.one: await services.fanout.room_json(left.room), **stopped_json(left.stopped)}

    async def _answer(self, services: Services, room: Room | Fault) -> Reply:
        return room if isinstance(room, Fault) else {self.one: await services.fanout.room_json(room)}


async def _user_of(services: Services, request: ApiRequest) -> User | Fault:
    """Find the user `userId` or `username` (also sent as `user`) names."""
    user_id, username = request.text("userId"), request.text("username") or request.text("user")
    if user_id is not None:
        return await services.directory.user(UserId(user_id)) or UNKNOWN_USER
    if username is not None:
        return await services.directory.user_named(username) or UNKNOWN_USER
    return NO_USER_GIVEN


async def _users_of(services: Services, request: ApiRequest) -> list[User] | Fault:
    """Find the users `userId`, `username` or the lists of either name; those of nobody are passed over."""
    user_ids, usernames = texts(request.params.get("userIds")), texts(request.params.get("usernames"))
    if not user_ids and not usernames:
        user = await _user_of(services, request)
        return NO_USERS_GIVEN if user is NO_USER_GIVEN else user if isinstance(user, Fault) else [user]
    found = [await services.directory.user(UserId(user_id)) for user_id in user_ids]
    found += [await services.directory.user_named(username) for username in usernames]
    users = {user.id: user for user in found if user is not None}
    return list(users.values()) or NOBODY_TO_INVITE
