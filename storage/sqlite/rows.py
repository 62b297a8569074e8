"""Turns records into rows and rows into records; the only place that knows both."""

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields, replace
from operator import attrgetter
from typing import Any, Protocol

import msgspec
from msgspec import structs

from storage.clock import Millis
from storage.errors import VaultError
from storage.ids import (
    DeliveryId,
    EventSeq,
    IntegrationId,
    LaneId,
    MessageId,
    OrgId,
    RoomId,
    UserId,
)
from storage.plain_json import read, write, write_bytes, write_struct
from storage.records.delivery import DAMAGED, Attempt, Delivery, DeliveryState
from storage.records.event import Event, EventKind
from storage.records.hook_request import HookRequest, Verdict
from storage.records.integration import Hook, IncomingHook, OutgoingHook, PreviousToken, SigningKey
from storage.records.message import Message
from storage.records.outage import Outage
from storage.records.room import Member, Room, RoomKind
from storage.records.upload import Upload
from storage.records.user import Role, Token, TokenKind, User
from storage.sqlite.packing import packed, packed_bytes, size_of, unpacked, unpacked_bytes
from storage.vault import Vault

Row = Sequence[object]
_packer = msgspec.msgpack.Encoder()
SECRET_FIELDS = ("token", "urls", "secret", "signing_keys")
"""What of an integration is sealed: each of it opens a door (decisions 9, 31)."""


class _Named(Protocol):
    name: str


def columns(named: Iterable[_Named]) -> str:
    """Return a record's field names as a column list; tables name their columns like the fields."""
    return ", ".join(field.name for field in named)


# --- users, tokens, rooms ---------------------------------------------------------------------------

USER_COLUMNS = columns(fields(User))
TOKEN_COLUMNS = columns(fields(Token))
ROOM_COLUMNS = columns(fields(Room))
UPLOAD_COLUMNS = columns(fields(Upload))


def user_row(user: User) -> Row:
    return (
        user.id, user.org_id, user.username, user.name, write(user.emails), user.role.value, user.is_bot,
        user.type, write(sorted(user.granted)), write(sorted(user.denied)), user.active, user.created_at,
        user.password_hash, user.version,
    )  # fmt: skip


def user_from(row: sqlite3.Row) -> User:
    return User(
        id=UserId(row["id"]), org_id=OrgId(row["org_id"]), username=row["username"], name=row["name"],
        emails=tuple(read(row["emails"])), role=Role(row["role"]), is_bot=bool(row["is_bot"]),
        type=row["type"], granted=frozenset(read(row["granted"])),
        denied=frozenset(read(row["denied"])), active=bool(row["active"]),
        created_at=Millis(row["created_at"]), password_hash=row["password_hash"], version=row["version"],
    )  # fmt: skip


def token_row(token: Token) -> Row:
    return (
        token.hash, token.user_id, token.kind.value, token.name, token.last_part, token.created_at,
        token.last_used_at, token.expires_at,
    )  # fmt: skip


def token_from(row: sqlite3.Row) -> Token:
    return Token(
        hash=row["hash"], user_id=UserId(row["user_id"]), kind=TokenKind(row["kind"]), name=row["name"],
        last_part=row["last_part"], created_at=Millis(row["created_at"]),
        last_used_at=row["last_used_at"], expires_at=row["expires_at"],
    )  # fmt: skip


def room_row(room: Room) -> Row:
    return (
        room.id, room.org_id, room.kind.value, room.name, room.owner_id, room.topic, room.description,
        room.read_only, room.archived, write(room.direct_users), room.keep_ms, room.keep_last, room.created_at,
        room.updated_at, room.version,
    )  # fmt: skip


def room_from(row: sqlite3.Row) -> Room:
    return Room(
        id=RoomId(row["id"]), org_id=OrgId(row["org_id"]), kind=RoomKind(row["kind"]), name=row["name"],
        owner_id=row["owner_id"], topic=row["topic"], description=row["description"],
        read_only=bool(row["read_only"]), archived=bool(row["archived"]),
        direct_users=tuple(read(row["direct_users"])), keep_ms=row["keep_ms"], keep_last=row["keep_last"],
        created_at=Millis(row["created_at"]), updated_at=Millis(row["updated_at"]), version=row["version"],
    )  # fmt: skip


def member_from(row: sqlite3.Row) -> Member:
    return Member(
        room_id=RoomId(row["room_id"]), user_id=UserId(row["user_id"]),
        joined_at=Millis(row["joined_at"]), is_owner=bool(row["is_owner"]),
    )  # fmt: skip


def upload_row(upload: Upload) -> Row:
    return (
        upload.id, upload.org_id, upload.room_id, upload.user_id, upload.name, upload.size, upload.type,
        upload.confirmed, upload.created_at, upload.version,
    )  # fmt: skip


def upload_from(row: sqlite3.Row) -> Upload:
    return Upload(
        id=row["id"], org_id=OrgId(row["org_id"]), room_id=RoomId(row["room_id"]),
        user_id=UserId(row["user_id"]), name=row["name"], size=row["size"], type=row["type"],
        confirmed=bool(row["confirmed"]), created_at=Millis(row["created_at"]), version=row["version"],
    )  # fmt: skip


# --- messages and events ----------------------------------------------------------------------------

MESSAGE_COLUMNS = "id, org_id, room_id, at, user_id, thread_id, text, body, updated_at, version"
_MESSAGE_OWN = ("id", "org_id", "room_id", "at", "user_id", "thread_id", "text", "updated_at", "version")
_IN_BODY = [field for field in structs.fields(Message) if field.name not in _MESSAGE_OWN]
_body_of = attrgetter(*(field.name for field in _IN_BODY))
_Body = msgspec.defstruct(
    "_Body",
    [
        (field.name, Any)
        if field.required
        else (field.name, Any, field.default if field.default is not msgspec.NODEFAULT else field.default_factory())
        for field in _IN_BODY
    ],
    omit_defaults=True,
    gc=False,
)
"""What of a message has no column of its own; what is as usual is not written."""


def message_row(message: Message) -> Row:
    return (
        message.id, message.org_id, message.room_id, message.at, message.user_id, message.thread_id,
        message.text, packed(write_struct(_Body(*_body_of(message)))), message.updated_at, message.version,
    )  # fmt: skip


def message_size(row: Row) -> int:
    """Return the bytes of what a message's row holds of its sender's."""
    *_, text, body, _updated_at, _version = row
    return size_of(text) + size_of(body)  # type: ignore[arg-type] # the columns of `message_row`


def message_from(row: sqlite3.Row) -> Message:
    body = read(unpacked(row["body"]))
    for name in ("attachments", "edited_by"):
        if name in body:
            body[name] = tuple(body[name])
    if "reactions" in body:
        body["reactions"] = {emoji: tuple(names) for emoji, names in body["reactions"].items()}
    return Message(
        id=MessageId(row["id"]), org_id=OrgId(row["org_id"]), room_id=RoomId(row["room_id"]),
        at=Millis(row["at"]), user_id=UserId(row["user_id"]), thread_id=row["thread_id"],
        text=row["text"], updated_at=Millis(row["updated_at"]), version=row["version"], **body,
    )  # fmt: skip


def event_from(row: sqlite3.Row) -> Event:
    return Event(
        seq=EventSeq(row["seq"]), org_id=OrgId(row["org_id"]), kind=EventKind(row["kind"]),
        at=Millis(row["at"]), room_id=row["room_id"], user_id=row["user_id"], json=unpacked(row["body"]),
    )  # fmt: skip


# --- integrations -----------------------------------------------------------------------------------

HOOK_COLUMNS = (
    "id, org_id, direction, name, folded, enabled, user_id, created_by, created_at, updated_at, expires_at,"
    " muted_until, version, body, sealed"
)


def _hook_identity(hook_id: str) -> str:
    return f"integration:{hook_id}"


def hook_row(hook: Hook, vault: Vault) -> Row:
    everything = asdict(hook)
    del everything["damaged"]
    if isinstance(hook, IncomingHook) and hook.previous_token is not None:
        everything["previous_token"]["hash"] = hook.previous_token.hash.hex()
    secret = {name: everything.pop(name) for name in SECRET_FIELDS if name in everything}
    return (
        hook.id, hook.org_id, "webhook-incoming" if isinstance(hook, IncomingHook) else "webhook-outgoing",
        hook.name, hook.name.casefold(), hook.enabled, hook.user_id, hook.created_by[0], hook.created_at,
        hook.updated_at, hook.expires_at, hook.muted_until, hook.version, write(everything),
        vault.seal(write_bytes(secret), _hook_identity(hook.id)),
    )  # fmt: skip


def hook_from(row: sqlite3.Row, vault: Vault) -> Hook:
    try:
        secret = read(vault.open(row["sealed"], _hook_identity(row["id"])))
    except VaultError:  # one damaged row must not hide the others of its list
        return replace(bare_hook_from(row["body"]), damaged=True)
    return _hook(read(row["body"]) | secret)


def bare_hook_from(body: str) -> Hook:
    """Return a hook without anything that is sealed, for lists that look through very many."""
    return _hook({"token": None, "urls": (), **read(body)})


def seal_version(hook: Hook, vault: Vault) -> bytes:
    """Seal a whole integration as it is, so that history can show what an attempt used."""
    return vault.seal(write_bytes(asdict(hook)), f"{_hook_identity(hook.id)}:{hook.version}")


def open_version(sealed: bytes, hook_id: str, version: int, vault: Vault) -> Hook:
    return _hook(read(vault.open(sealed, f"{_hook_identity(hook_id)}:{version}")))


def _hook(values: dict[str, object]) -> Hook:
    kind = OutgoingHook if "event" in values else IncomingHook
    for name in ("channels", "created_by", "updated_by", "urls", "trigger_words"):
        found = values.get(name)
        if isinstance(found, list):
            values[name] = tuple(found)
    keys = values.get("signing_keys")
    if isinstance(keys, list):
        values["signing_keys"] = tuple(SigningKey(**key) for key in keys)
    previous = values.get("previous_token")
    if isinstance(previous, dict):
        values["previous_token"] = PreviousToken(hash=bytes.fromhex(previous["hash"]), until=previous["until"])
    known = {f.name for f in fields(kind)}
    return kind(**{name: value for name, value in values.items() if name in known})  # type: ignore[arg-type] # our own JSON


# --- deliveries and history -------------------------------------------------------------------------

DELIVERY_COLUMNS = (
    "d.id, d.lane_id, d.integration_id, coalesce(l.url_hash, x'') AS url_hash, d.event_seq, d.state, d.trigger_word,"
    " d.tries, d.receives, max(d.available_at, d.created_at, coalesce(l.not_before, 0)) AS available_at,"
    " d.created_at, d.reason, d.webhook_id"
)
_SEALED_OF_ATTEMPT = ("response", "error")
ATTEMPT_COLUMNS = columns(each for each in structs.fields(Attempt) if each.name not in _SEALED_OF_ATTEMPT) + ", sealed"
OUTAGE_COLUMNS = f"lane_id, {columns(structs.fields(Outage))}"
REQUEST_COLUMNS = (
    "id, integration_id, slot, number, at, method, verdict, status, error, message_ids,"
    " body_differed, duration_us, signature, previous_token, sealed"
)


def delivery_from(row: sqlite3.Row) -> Delivery:
    return Delivery(
        id=DeliveryId(row["id"]), lane_id=LaneId(row["lane_id"]),
        integration_id=IntegrationId(row["integration_id"]), url_hash=row["url_hash"],
        event_seq=EventSeq(row["event_seq"]), state=DeliveryState(row["state"]),
        trigger_word=row["trigger_word"], tries=row["tries"], receives=row["receives"],
        available_at=Millis(row["available_at"]), created_at=Millis(row["created_at"]), reason=row["reason"],
        webhook_id=row["webhook_id"],
    )  # fmt: skip


def attempt_row(attempt: Attempt, vault: Vault, event_seq: int | None = None) -> Row:
    sealed = None
    if attempt.response or attempt.error:  # most calls end well with an empty answer, and cost no sealing
        sealed = vault.seal(write_bytes([attempt.response, attempt.error]), f"attempt:{attempt.id}")
    return (
        attempt.id, attempt.integration_id, attempt.version,
        attempt.event_seq if event_seq is None else event_seq, attempt.delivery_id, attempt.url_hash,
        attempt.trigger_word, attempt.step, attempt.finished, attempt.failed, attempt.started_at,
        attempt.updated_at, attempt.duration_ms, attempt.status, attempt.message_id, attempt.called, sealed,
    )  # fmt: skip


def attempt_from(row: sqlite3.Row, vault: Vault) -> Attempt:
    values: dict[str, Any] = dict(row)  # Any: each column has the type of the field it is named like
    values |= {name: bool(values[name]) for name in ("finished", "failed", "called")}
    sealed = values.pop("sealed")
    if sealed is not None:
        try:
            values["response"], values["error"] = read(vault.open(sealed, f"attempt:{values['id']}"))
        except VaultError:  # one damaged row must not hide the others of its list
            values["error"] = DAMAGED
    return Attempt(**values)


def _received(request: HookRequest) -> bytes:
    """Write what was received for sealing: as MessagePack, which holds a body's bytes as they are."""
    try:
        return _packer.encode((request.headers, request.body, request.dedup_key))
    except UnicodeEncodeError:  # half a surrogate pair, as headers may hold
        return write_bytes([request.headers, request.body.decode("latin-1"), request.dedup_key])


def _received_from(opened: bytes) -> tuple[Sequence[tuple[str, str]], bytes, str | None]:
    raw = unpacked_bytes(opened)
    if raw[:1] == b"[":
        headers, body, dedup_key = read(raw)
        return headers, body.encode("latin-1"), dedup_key
    headers, body, dedup_key = msgspec.msgpack.decode(raw)
    return headers, body, dedup_key


def outage_row(lane: LaneId, outage: Outage) -> Row:
    return (lane, *structs.astuple(outage))


def outage_from(row: sqlite3.Row) -> tuple[LaneId, Outage]:
    values: dict[str, Any] = dict(row)  # Any: each column has the type of the field it is named like
    lane = LaneId(values.pop("lane_id"))
    return lane, Outage(**{**values, "is_told": bool(values["is_told"])})


def request_row(request: HookRequest, slot: int, number: int, vault: Vault) -> Row:
    sealed = vault.seal(packed_bytes(_received(request)), f"request:{request.id}")
    return (
        request.id, request.integration_id, slot, number, request.at, request.method, str(request.verdict),
        request.status, request.error, write(request.message_ids), request.body_differed, request.duration_us,
        request.signature, request.previous_token, sealed,
    )  # fmt: skip


def request_size(row: Row) -> int:
    """Return the bytes of what a request's row holds of its sender's."""
    return len(row[-1])  # type: ignore[arg-type] # what is sealed


def request_from(row: sqlite3.Row, vault: Vault) -> HookRequest:
    damaged = False
    try:
        headers, body, dedup_key = _received_from(vault.open(row["sealed"], f"request:{row['id']}"))
    except VaultError:  # one damaged row must not hide the others of its list
        headers, body, dedup_key, damaged = (), b"", None, True
    return HookRequest(
        damaged=damaged,
        id=row["id"], integration_id=IntegrationId(row["integration_id"]), at=Millis(row["at"]),
        method=row["method"], headers=tuple((name, value) for name, value in headers),
        body=body, verdict=Verdict(row["verdict"]), status=row["status"],
        error=row["error"], message_ids=tuple(read(row["message_ids"])), dedup_key=dedup_key,
        body_differed=bool(row["body_differed"]), duration_us=row["duration_us"],
        signature=row["signature"], previous_token=bool(row["previous_token"]),
    )  # fmt: skip
