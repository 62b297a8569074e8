"""Rocket.Chat's wire shape of what we store: messages, rooms, users and integrations."""

from collections.abc import Mapping, Sequence
from typing import Final

from handlers.outgoing.events import OutgoingEvent
from handlers.permissions import sees_roles
from storage.clock import iso
from storage.ids import GENERAL
from storage.records.integration import Actor, Hook, IncomingHook, OutgoingHook, direction
from storage.records.message import Message
from storage.records.room import Room, RoomKind
from storage.records.user import Role, User

JsonObject = dict[str, object]

MOST_PARAGRAPHS: Final = 1_000
"""Of one message: each takes some 75 bytes and a microsecond or two, where its line may be a single character."""


def message_view(
    message: Message,
    *,
    mentions: Sequence[Mapping[str, object]] = (),
    channels: Sequence[Mapping[str, object]] = (),
    urls: Sequence[Mapping[str, object]] = (),
) -> JsonObject:
    """Show a message (`rocketchat.md` §10); what its text mentions comes resolved from the caller."""
    return drawn(undrawn_view(message, mentions=mentions, channels=channels, urls=urls))


def drawn(view: JsonObject) -> JsonObject:
    """Add to a message what clients draw it from, which follows from its text."""
    return {**view, "md": _markdown(str(view["msg"]))}


def undrawn_view(
    message: Message,
    *,
    mentions: Sequence[Mapping[str, object]] = (),
    channels: Sequence[Mapping[str, object]] = (),
    urls: Sequence[Mapping[str, object]] = (),
) -> JsonObject:
    """Show a message without what clients draw it from: as events keep it."""
    view: JsonObject = {
        "_id": message.id,
        "rid": message.room_id,
        "msg": message.text,
        "ts": iso(message.at),
        "u": {"_id": message.user_id, "username": message.username, "name": message.name},
        "attachments": list(message.attachments),
        "parseUrls": message.parse_urls,
        "groupable": message.groupable,
        "urls": list(urls),
        "mentions": list(mentions),
        "channels": list(channels),
        "_updatedAt": iso(message.updated_at),
    }
    if message.alias is not None:
        view["alias"] = message.alias
    if message.avatar is not None:
        view["avatar"] = message.avatar
    if message.emoji is not None:
        view["emoji"] = message.emoji
    if message.thread_id is not None:
        view["tmid"] = message.thread_id
    if message.custom_fields is not None:
        view["customFields"] = message.custom_fields
    if message.file is not None:
        view["file"], view["files"] = message.file, [message.file]
    if message.integration_id is not None:
        view["bot"] = {"i": message.integration_id}
    if message.reactions:
        view["reactions"] = _reactions(message.reactions)
    if message.edited_at is not None:
        view["editedAt"], view["editedBy"] = iso(message.edited_at), _actor(message.edited_by)
    return view


def room_view(
    room: Room,
    *,
    owner: User | None = None,
    participants: Sequence[User] = (),
    users_count: int,
    messages_count: int,
) -> JsonObject:
    """Show a room; `participants` are those of a direct room, which has no name (`rocketchat.md` §7)."""
    view: JsonObject = {
        **room_reference(room, participants),
        "fname": room.name,
        "usersCount": users_count,
        "msgs": messages_count,
        "u": None if owner is None else {"_id": owner.id, "username": owner.username},
        "topic": room.topic,
        "description": room.description,
        "ro": room.read_only,
        "archived": room.archived,
        "default": room.id == GENERAL,
        "ts": iso(room.created_at),
        "_updatedAt": iso(room.updated_at),
    }
    return _present(view)


def room_reference(room: Room, participants: Sequence[User] = ()) -> JsonObject:
    """Show which room it is and no more: id, type and name, of a direct room its participants."""
    view: JsonObject = {"_id": room.id, "t": str(room.kind)}
    if room.name is not None:
        view["name"] = room.name
    if room.kind is RoomKind.DIRECT:
        view["usernames"] = [user.username for user in participants]
        view["uids"] = [user.id for user in participants]
    return view


USER_FIELDS = frozenset({"_id", "username", "name", "type", "status", "active"})
"""What everybody may see of a user, and filter by."""
USER_FIELDS_FOR_ADMINS = USER_FIELDS | {"roles", "createdAt", "emails.address", "emails.verified"}


def user_view(user: User) -> JsonObject:
    """Show a user to everybody, also outside; presence is not tracked, whoever may log in counts as online."""
    return {
        "_id": user.id,
        "username": user.username,
        "name": user.name,
        "type": user.type,
        "status": "online" if user.active else "offline",
        "active": user.active,
    }


def user_view_for(viewer: User, user: User) -> JsonObject:
    """Show a user to somebody: who holds which role is told to admins, and to users about themselves."""
    view = user_view(user)
    if viewer.id == user.id or sees_roles(viewer):
        view |= {
            "roles": wire_roles(user),
            "createdAt": iso(user.created_at),
            "emails": [{"address": address, "verified": True} for address in user.emails],
        }
    return view


def user_fields_for(viewer: User) -> frozenset[str]:
    """Return what a list of users may be filtered and sorted by: nothing that it does not show of everybody."""
    return USER_FIELDS_FOR_ADMINS if sees_roles(viewer) else USER_FIELDS


def wire_roles(user: User) -> list[str]:
    """Return the roles as Rocket.Chat names them (decision 20)."""
    role = "admin" if user.role.at_least(Role.ADMIN) else "user"
    return [role, "bot"] if user.is_bot else [role]


def integration_view(hook: Hook) -> JsonObject:
    """Show an integration with its token, only in the contract's keys (`rocketchat.md` §3, decision 35)."""
    return _present(
        {
            "type": direction(hook).value,
            "name": hook.name,
            "enabled": hook.enabled,
            "username": hook.username,
            "channel": list(hook.channels),
            **(_incoming(hook) if isinstance(hook, IncomingHook) else _outgoing(hook)),
            "token": hook.token,
            "alias": hook.alias,
            "avatar": hook.avatar,
            "emoji": hook.emoji,
            "scriptEnabled": hook.script_enabled,
            "script": hook.script,
            "scriptEngine": hook.script_engine,
            "userId": hook.user_id,
            "_createdAt": iso(hook.created_at),
            "_createdBy": _actor(hook.created_by),
            "_updatedAt": iso(hook.updated_at),
            "_updatedBy": _actor(hook.updated_by),
            "_id": hook.id,
            "damaged": True if hook.damaged else None,
        }
    )


def _incoming(hook: IncomingHook) -> JsonObject:
    return {"overrideDestinationChannelEnabled": hook.override_destination}


def _outgoing(hook: OutgoingHook) -> JsonObject:
    has_words = OutgoingEvent(hook.event).uses_trigger_words  # on other events the keys do not exist (§3)
    return {
        "event": hook.event,
        "urls": list(hook.urls),
        "targetRoom": hook.target_room,
        "triggerWords": list(hook.trigger_words) if has_words and hook.trigger_words else None,
        "triggerWordAnywhere": hook.trigger_word_anywhere if has_words else None,
        "runOnEdits": hook.run_on_edits,
        "impersonateUser": hook.impersonate_user,
        "retryFailedCalls": hook.retry_failed_calls,
        "retryCount": hook.retry_count,
        "retryDelay": hook.retry_delay,
    }


def _present(view: JsonObject) -> JsonObject:
    return {key: value for key, value in view.items() if value is not None}


def _actor(actor: Actor | None) -> JsonObject | None:
    return None if actor is None else {"_id": actor[0], "username": actor[1]}


def _reactions(reactions: Mapping[str, tuple[str, ...]]) -> JsonObject:
    return {f":{emoji.strip(':')}:": {"usernames": list(names)} for emoji, names in reactions.items()}


def _markdown(text: str) -> list[JsonObject]:
    """Return the parsed text clients draw from: a paragraph of plain text for each line, the last for all the rest."""
    return [_line(line) for line in text.split("\n", MOST_PARAGRAPHS - 1)] if text else []


def _line(line: str) -> JsonObject:
    if not line.strip():
        return {"type": "LINE_BREAK"}
    return {"type": "PARAGRAPH", "value": [{"type": "PLAIN_TEXT", "value": line}]}
