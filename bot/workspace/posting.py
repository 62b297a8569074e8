"""Posting: where a draft may go, in whose name, and everything that putting it there causes."""

from collections.abc import Mapping, Sequence
from functools import partial

from msgspec import Struct, structs

from bot.workspace.allotment import Allotment
from bot.workspace.directory import Directory
from bot.workspace.fanout import Fanout, unheard
from handlers.acting import NOT_ACTING, NOT_REACHING
from handlers.errors import Fault
from handlers.mentions import names_everybody
from handlers.message import Draft
from handlers.permissions import IMPERSONATE, may_call_everybody, permissions
from storage.clock import Clock, Millis
from storage.ids import ROCKET_CAT, MessageId, RoomId, UserId, timed_id
from storage.ports import Messages
from storage.records.changes import NOTHING, Changes, Dedup, Fact, PreviousCall, merge
from storage.records.event import EventKind
from storage.records.hook_request import HookRequest
from storage.records.integration import Hook, direction
from storage.records.message import Message
from storage.records.room import Member, Room, RoomKind, direct_room_id
from storage.records.user import Role, User

MOST_DESTINATIONS = 100
"""Rooms one request may post to."""

INVALID_CHANNEL = Fault(code="invalid-channel")
NOT_ALLOWED = Fault("Not allowed", "error-not-allowed")
READ_ONLY = Fault("You can't send messages because the room is readonly.")
NO_IMPERSONATION = Fault("Not enough permission")
NOTHING_POSTED = Fault("unknown-error")
INVALID_THREAD = Fault("Invalid thread.")


class Prepared(Struct, frozen=True, gc=False):
    """Messages about to be posted and what that causes; nothing is written until `changes` is committed."""

    made: Changes
    """What the rooms need first: a direct room to be made, the poster to join."""
    messages: tuple[Message, ...]
    facts: tuple[Fact, ...]
    rooms: tuple[Room, ...]
    chosen_id: bool

    @property
    def changes(self) -> Changes:
        """Return all of it as one unit of work."""
        return self.with_more()

    def with_more(
        self,
        *,
        dedup: Dedup | None = None,
        request: HookRequest | None = None,
        previous_call: PreviousCall | None = None,
    ) -> Changes:
        """Return it together with what else a request causes."""
        posted = Changes(
            new_messages=self.messages,
            facts=self.facts,
            chosen_ids=self.chosen_id,
            dedup=dedup,
            request=request,
            previous_call=previous_call,
        )
        return merge(self.made, posted)


class _Place(Struct, frozen=True, gc=False):
    """A room to post into and what has to be made first."""

    room: Room
    changes: Changes


class Posting:
    """The rules of `rocketchat.md` §5.2; every destination is checked before anything is posted."""

    def __init__(
        self, directory: Directory, messages: Messages, fanout: Fanout, clock: Clock, allotment: Allotment
    ) -> None:
        self._directory = directory
        self._messages = messages
        self._fanout = fanout
        self._clock = clock
        self._allotment = allotment

    async def prepare(
        self,
        draft: Draft,
        poster: User,
        destinations: Sequence[str],
        *,
        hook: Hook | None = None,
        hops: int = 0,
        message_id: MessageId | None = None,
        file: Mapping[str, object] | None = None,
        notice: bool = False,
    ) -> Prepared | Fault:
        """Check a draft against its destinations and build the messages, one for each room.

        What a hook posts is judged by the rights of who made the hook, too, as they are now; to look as it likes
        is the hook's right, whoever it posts as.
        """
        if not notice and (spent := self._allotment.spent(poster.id if hook is None else hook.id)):
            return spent
        if hook is None and (draft.alias or draft.avatar) and IMPERSONATE not in permissions(poster):
            return NO_IMPERSONATION
        if not destinations or len(destinations) > MOST_DESTINATIONS:
            return NOTHING_POSTED
        places: dict[RoomId, _Place] = {}
        by = None if hook is None else (hook.created_by[0], direction(hook))
        for destination in destinations:
            place: _Place | Fault | None = await self._directory.remembered(
                ("open", destination, poster.id, poster.role, by), partial(self._open, destination, poster, hook)
            )
            if place is None:
                place = await self._place(destination, poster, hook)
            if isinstance(place, Fault):
                return place
            if draft.thread_id is not None and not await self._has_thread(place.room, draft.thread_id):
                return INVALID_THREAD
            places.setdefault(place.room.id, place)  # a room may be named twice: by name and id
        messages, facts = list[Message](), list[Fact]()
        rooms = tuple([place.room for place in places.values()])
        for room in rooms:
            message = self._message(
                draft, poster, room, hook=hook, hops=hops, message_id=message_id, file=file, notice=notice
            )
            if not notice and names_everybody(message.text) and await self._may_call_everybody(poster, room, hook):
                message = structs.replace(message, calls_everybody=True)
            messages.append(message)
            facts.append(await self._fanout.message(message, room, poster))
        made = merge(*[place.changes for place in places.values()])
        if notice:
            made = structs.replace(made, facts=tuple([unheard(fact) for fact in made.facts]))
        return Prepared(made, tuple(messages), tuple(facts), rooms, message_id is not None)

    async def notice(self, text: str, destination: str, *, thread_id: str | None = None) -> Prepared | Fault:
        """Prepare what the server itself says, in the voice of `rocket.cat`: it fires no outgoing hook."""
        sender = await self._directory.user(ROCKET_CAT)
        if sender is None:
            return NOT_ALLOWED
        return await self.prepare(plain(text, thread_id=thread_id), sender, [destination], notice=True)

    async def may_enter(self, room: Room, user: User) -> bool:
        """Tell whether a user may read a room: members always, anybody a public one."""
        return room.kind is RoomKind.PUBLIC or await self._directory.is_inside(room, user.id)

    async def may_call_everybody(self, user: User, room: Room) -> bool:
        """Tell whether `@all` of a user counts in a room."""
        member = await self._directory.member(room.id, user.id)
        return may_call_everybody(user, owns_room=member is not None and member.is_owner)

    async def _may_call_everybody(self, poster: User, room: Room, hook: Hook | None) -> bool:
        """A hook has the right of who made it, whoever it posts as."""
        speaker = poster if hook is None else await self._directory.user(hook.created_by[0])
        return speaker is not None and speaker.active and await self.may_call_everybody(speaker, room)

    async def find(self, destination: str) -> Room | User | None:
        """Find what a destination names: `#room`, `@user`, or a bare id or name (`rocketchat.md` §5.2)."""
        sign, name = destination[:1], destination[1:]
        if sign == "#":
            return await self._directory.room_called(name)
        if sign == "@":
            user = await self._directory.user(UserId(name)) or await self._directory.user_named(name)
            if user is not None:
                return user
            room = await self._directory.room(RoomId(name))
            return room if room is not None and room.kind is RoomKind.DIRECT else None
        return await self._directory.room_called(destination) or await self._directory.user(UserId(destination))

    def direct_room(self, one: User, other: User) -> tuple[Room, Changes]:
        """Return a new direct room of two users and what making it writes."""
        now = self._clock.now()
        users = tuple(sorted({one.id, other.id}))
        room = Room(
            id=direct_room_id(users),
            org_id=one.org_id,
            kind=RoomKind.DIRECT,
            name=None,
            owner_id=None,
            direct_users=users,
            created_at=now,
            updated_at=now,
        )
        members = tuple(Member(room_id=room.id, user_id=user, joined_at=now) for user in users)
        fact = self._fanout.plain(EventKind.ROOM_CHANGED, one, {"_id": room.id}, room)
        return room, Changes(add_rooms=(room,), add_members=members, facts=(fact,))

    async def _open(self, destination: str, poster: User, hook: Hook | None) -> _Place | None:
        """Return a place where nothing has to be made first; None when there is more to look at."""
        place = await self._place(destination, poster, hook)
        return place if isinstance(place, _Place) and place.changes is NOTHING else None

    async def _place(self, destination: str, poster: User, hook: Hook | None) -> _Place | Fault:
        """Return where a destination lies, if the poster may enter it and a hook's maker may send the poster there."""
        if hook is not None and not await self._directory.acts_as(hook, poster):
            return NOT_ACTING
        place = await self._entered(destination, poster)
        if hook is None or isinstance(place, Fault):
            return place
        if not await self._directory.reaches(hook, place.room):
            return NOT_REACHING
        if place.room.read_only and not await self._writes_anyway(
            await self._directory.user(hook.created_by[0]), place.room
        ):
            return READ_ONLY
        return place

    async def _entered(self, destination: str, poster: User) -> _Place | Fault:
        found = await self.find(destination)
        if found is None or (isinstance(found, User) and not found.active):
            return INVALID_CHANNEL
        if isinstance(found, User):
            known = await self._directory.room(direct_room_id(tuple({poster.id, found.id})))
            if known is None:
                room, changes = self.direct_room(poster, found)
                return _Place(room, changes)
            found = known
        return await self._enter(found, poster)

    async def _enter(self, room: Room, poster: User) -> _Place | Fault:
        if room.archived:
            return Fault(f"The channel, {room.name}, is archived", "error-room-archived")
        if room.kind is RoomKind.DIRECT:
            return _Place(room, NOTHING) if poster.id in room.direct_users else NOT_ALLOWED
        member = await self._directory.member(room.id, poster.id)
        if member is None and room.kind is RoomKind.PRIVATE:
            return NOT_ALLOWED
        if room.read_only and not await self._writes_anyway(poster, room):
            return READ_ONLY
        return _Place(room, NOTHING if member else await self.join(room, poster))

    async def _writes_anyway(self, user: User | None, room: Room) -> bool:
        """Tell whether somebody writes into a read-only room: its owners, and admins."""
        if user is None or not user.active:
            return False
        member = await self._directory.member(room.id, user.id)
        return user.role.at_least(Role.ADMIN) or (member is not None and member.is_owner)

    async def join(self, room: Room, user: User) -> Changes:
        """Return what makes a user a member of a room."""
        now = self._clock.now()
        fact: Fact = await self._fanout.room(EventKind.ROOM_JOINED, room, user, at=now)
        return Changes(add_members=(Member(room_id=room.id, user_id=user.id, joined_at=now),), facts=(fact,))

    async def _has_thread(self, room: Room, thread_id: str) -> bool:
        parent = await self._messages.message(MessageId(thread_id))
        return parent is not None and parent.room_id == room.id

    def _message(
        self,
        draft: Draft,
        poster: User,
        room: Room,
        *,
        hook: Hook | None,
        hops: int,
        message_id: MessageId | None,
        file: Mapping[str, object] | None,
        notice: bool,
    ) -> Message:
        now: Millis = self._clock.now()
        return Message(
            id=message_id or MessageId(timed_id(now)),
            org_id=poster.org_id,
            room_id=room.id,
            at=now,
            user_id=poster.id,
            username=poster.username,
            name=poster.name,
            text=draft.text,
            thread_id=MessageId(draft.thread_id) if draft.thread_id else None,
            alias=draft.alias,
            avatar=draft.avatar,
            emoji=draft.emoji,
            attachments=draft.attachments,
            integration_id=hook.id if hook else None,
            parse_urls=draft.parse_urls,
            groupable=draft.groupable,
            custom_fields=draft.custom_fields,
            file=file,
            updated_at=now,
            hops=hops,
            notice=notice,
        )


def plain(text: str, *, thread_id: str | None = None) -> Draft:
    """Return a draft of a text and nothing else."""
    return Draft(
        text=text,
        destinations=(),
        has_destination=False,
        alias=None,
        avatar=None,
        emoji=None,
        attachments=(),
        parse_urls=True,
        groupable=True,
        thread_id=thread_id,
        custom_fields=None,
    )
