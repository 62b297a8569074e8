"""Writes units of work: many at once where they are alike, each whole or not at all."""

import hashlib
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter

from msgspec import structs

from storage.clock import Clock
from storage.errors import Stale
from storage.ids import EventSeq, IntegrationId, LaneId, MessageId, RoomId, UserId, timed_id
from storage.records.changes import Changes, Committed, Dedup, PreviousCall
from storage.records.event import EventKind
from storage.records.hook_request import HookRequest, Verdict
from storage.records.integration import EVERYWHERE, Hook, IncomingHook, OutgoingHook
from storage.records.message import Message
from storage.records.user import User
from storage.sqlite import audits, connected, pendings, rows
from storage.sqlite.bulk import insert_rows
from storage.sqlite.lanes import Lanes
from storage.sqlite.packing import packed, size_of
from storage.sqlite.reads import marks
from storage.sqlite.single import insert, put
from storage.sqlite.tally import Tally, payer_of
from storage.vault import Vault

REQUESTS_KEPT = 200
"""Requests kept for each incoming hook (decision 33); the oldest makes room for the next."""

_EVENTS = "INSERT INTO event (seq, org_id, kind, at, room_id, user_id, body)"
_MESSAGES = f"INSERT INTO message ({rows.MESSAGE_COLUMNS}, event_seq)"
_DELIVERIES = (
    "INSERT INTO delivery (lane_id, integration_id, event_seq, trigger_word, available_at, created_at, updated_at,"
    " webhook_id, state, tries, receives)"
)
_DEDUPS = "INSERT INTO dedup (key, body_hash, at)"
_NEW = ("queued", 0, 0)
_COMMITTED = Committed()
_REQUESTS = f"INSERT INTO hook_request ({rows.REQUEST_COLUMNS})"
_IN_ITS_PLACE = "ON CONFLICT (integration_id, slot) DO UPDATE SET " + ", ".join(
    f"{name} = excluded.{name}"
    for name in rows.REQUEST_COLUMNS.replace(" ", "").split(",")
    if name not in ("integration_id", "slot")
)
"""Written over the oldest one, row by row: removing it and inserting another would touch twice as many pages."""
_ATTEMPTS = f"INSERT INTO attempt ({rows.ATTEMPT_COLUMNS})"


_RECORDS = attrgetter(
    *(
        name
        for name in Changes.__struct_fields__
        if name not in ("dedup", "request", "chosen_ids", "facts", "previous_call") and "message" not in name
    )
)
"""What is neither a message nor what belongs to one: most units have nothing of it."""
_OF_COMMANDS = attrgetter(
    *(name for name in Changes.__struct_fields__ if name.partition("_")[0] in ("pending", "audit")),
    *(name for name in Changes.__struct_fields__ if name.endswith(("_workspaces", "_links"))),
)
"""What only commands write: asked for at once, because most units are posts."""


class Applier:
    """Applies changes on the writing connection; belongs to the writing thread."""

    def __init__(self, vault: Vault, clock: Clock, options: "Scopes") -> None:
        self._vault = vault
        self._clock = clock
        self._scopes = options
        self.lanes = Lanes(vault)
        self._request_numbers: dict[IntegrationId, int] = {}
        self._tally = Tally(clock)

    def forget(self) -> None:
        """Drop everything remembered about stored rows."""
        self.lanes.forget()
        self._request_numbers.clear()
        self._tally.forget()

    def apply(self, connection: sqlite3.Connection, units: Sequence[Changes]) -> list[Committed]:
        """Write the units; raise Taken, Stale or Gone when what they build on is not as expected."""
        results = self._repetitions(connection, units)
        written = [(place, unit) for place, unit in enumerate(units) if results[place] is None]
        inside = self._write_records(connection, [unit for _, unit in written])
        sizes = [0] * len(units)
        for place, committed in self._write_facts(connection, written, inside, sizes):
            results[place] = committed
        self._write_messages(connection, written, results, sizes)
        self._write_requests(connection, units, results, sizes)
        return [
            self._counted(connection, unit, result or _COMMITTED, size)
            for unit, result, size in zip(units, results, sizes, strict=True)
        ]

    def _counted(self, connection: sqlite3.Connection, unit: Changes, committed: Committed, size: int) -> Committed:
        """Count what a unit of work has stored for whoever it is stored for."""
        payer = payer_of(unit) if size else None
        if payer is None:
            return committed
        self._tally.count(connection, payer, size)
        return structs.replace(committed, payer=payer, stored=size)

    # --- what makes a unit a repetition -------------------------------------------------------------

    def _repetitions(self, connection: sqlite3.Connection, units: Sequence[Changes]) -> list[Committed | None]:
        """Return for each unit what it repeats; None when it is to be written."""
        results: list[Committed | None] = [None] * len(units)
        fresh_ids: set[str] = set()
        for place, unit in enumerate(units):
            if unit.chosen_ids:
                ids = {message.id for message in unit.new_messages}
                if ids & fresh_ids or any(self._is_message(connection, message_id) for message_id in ids):
                    results[place] = Committed(existed=True)
                else:
                    fresh_ids |= ids
        # last, because asking uses the ids up
        asked = [(place, unit.dedup) for place, unit in enumerate(units) if unit.dedup and results[place] is None]
        first = self._use_ids(connection, [dedup for _, dedup in asked])
        for place, dedup in asked:
            keys = _digests(dedup)
            if first.issuperset(keys):
                first.difference_update(keys)
            else:
                results[place] = Committed(duplicate=True)
        return results

    @staticmethod
    def _is_message(connection: sqlite3.Connection, message_id: MessageId) -> bool:
        return connection.execute("SELECT 1 FROM message WHERE id = ?", (message_id,)).fetchone() is not None

    @staticmethod
    def _use_ids(connection: sqlite3.Connection, dedups: Sequence[Dedup]) -> set[bytes]:
        """Write the ids of requests; returns those that were not there yet."""
        keys = [(key, dedup.body_hash, dedup.at) for dedup in dedups for key in _digests(dedup)]
        return {row[0] for row in insert_rows(connection, _DEDUPS, keys, "ON CONFLICT DO NOTHING RETURNING key")}

    # --- records ------------------------------------------------------------------------------------

    def _write_records(self, connection: sqlite3.Connection, units: Iterable[Changes]) -> set[tuple[RoomId, UserId]]:
        """Write everything but messages; returns who was to join a room but was in it already."""
        inside: set[tuple[RoomId, UserId]] = set()
        for unit in units:
            if not any(_RECORDS(unit)):
                continue
            for user in unit.new_users:
                connection.execute(insert("user", rows.USER_COLUMNS), rows.user_row(user))
            for user in unit.put_users:
                put(connection, "user", rows.USER_COLUMNS, rows.user_row(user), user)
            for user in (*unit.new_users, *unit.put_users):
                self._write_emails(connection, user)
            for room in unit.new_rooms:
                connection.execute(insert("room", rows.ROOM_COLUMNS), rows.room_row(room))
            for room in unit.put_rooms:
                put(connection, "room", rows.ROOM_COLUMNS, rows.room_row(room), room)
            for room in unit.add_rooms:
                statement = f"{insert('room', rows.ROOM_COLUMNS)} ON CONFLICT (id) DO NOTHING"
                connection.execute(statement, rows.room_row(room))
            for member in unit.add_members:
                place = (member.room_id, member.user_id)
                if connection.execute("SELECT 1 FROM member WHERE room_id = ? AND user_id = ?", place).fetchone():
                    inside.add(place)
                connection.execute(
                    "INSERT INTO member (room_id, user_id, joined_at, is_owner) VALUES (?, ?, ?, ?)"
                    " ON CONFLICT DO UPDATE SET is_owner = max(is_owner, excluded.is_owner)",
                    (*place, member.joined_at, member.is_owner),
                )
            for pair in unit.drop_members:
                connection.execute("DELETE FROM member WHERE room_id = ? AND user_id = ?", pair)
            for hook in unit.new_hooks:
                self._write_hook(connection, hook, new=True)
            for hook in unit.put_hooks:
                self._write_hook(connection, hook, new=False)
            for hook_id in unit.drop_hooks:
                self._drop_hook(connection, hook_id)
            # dropped first: a regenerated token takes over the name of the old one
            connection.executemany("DELETE FROM token WHERE hash = ?", [(key,) for key in unit.drop_tokens])
            for token in unit.new_tokens:
                connection.execute(insert("token", rows.TOKEN_COLUMNS), rows.token_row(token))
            for upload in unit.new_uploads:
                connection.execute(insert("upload", rows.UPLOAD_COLUMNS), rows.upload_row(upload))
            for upload in unit.put_uploads:
                put(connection, "upload", rows.UPLOAD_COLUMNS, rows.upload_row(upload), upload)
            connection.executemany("DELETE FROM upload WHERE id = ?", [(key,) for key in unit.drop_uploads])
            if any(_OF_COMMANDS(unit)):
                connected.write(connection, self._vault, unit)
                pendings.write(connection, self._vault, unit, self._clock.now())
                audits.append(connection, unit.audit)
        return inside

    @staticmethod
    def _write_emails(connection: sqlite3.Connection, user: User) -> None:
        connection.execute("DELETE FROM user_email WHERE user_id = ?", (user.id,))
        connection.executemany(
            "INSERT INTO user_email (email, user_id) VALUES (?, ?)", [(email, user.id) for email in user.emails]
        )

    def _write_hook(self, connection: sqlite3.Connection, hook: Hook, *, new: bool) -> None:
        row = rows.hook_row(hook, self._vault)
        if new:
            connection.execute(insert("integration", rows.HOOK_COLUMNS), row)
            # a removed hook that is restored under its id: what is not swept yet is its history again
            connection.execute("DELETE FROM removed WHERE integration_id = ?", (hook.id,))
        else:
            if hook.damaged:  # what is sealed stays as it is: the key that opens it may be found again
                stored = connection.execute("SELECT sealed FROM integration WHERE id = ?", (hook.id,)).fetchone()
                row = (*row[:-1], *(stored or (b"",)))
            cursor = connection.execute(
                f"UPDATE integration SET ({rows.HOOK_COLUMNS}) = ({marks(row)}) WHERE id = ? AND version = ?",
                (*row, hook.id, hook.version - 1),
            )
            if cursor.rowcount == 0:
                raise Stale("Somebody else changed this integration meanwhile; look at it again and repeat.")
            connection.execute("DELETE FROM integration_scope WHERE integration_id = ?", (hook.id,))
            connection.execute("DELETE FROM integration_channel WHERE integration_id = ?", (hook.id,))
            previous = hook.previous_token if isinstance(hook, IncomingHook) else None
            connection.execute(
                "DELETE FROM previous_call WHERE integration_id = ? AND hash IS NOT ?",
                (hook.id, previous.hash if previous else None),
            )
        connection.executemany(
            "INSERT INTO integration_channel (channel, is_target, integration_id) VALUES (?, ?, ?)",
            [(channel, is_target, hook.id) for channel, is_target in _places(hook)],
        )
        if isinstance(hook, OutgoingHook) and hook.enabled:
            connection.executemany(
                "INSERT OR IGNORE INTO integration_scope (event, scope, integration_id) VALUES (?, ?, ?)",
                [(hook.event, scope, hook.id) for scope in self._scopes(hook)],
            )
        if hook.damaged:  # its addresses are not known here, and so stand as they are
            return
        if isinstance(hook, OutgoingHook):
            connection.execute(
                "INSERT INTO integration_version (integration_id, version, sealed) VALUES (?, ?, ?)",
                (hook.id, hook.version, rows.seal_version(hook, self._vault)),
            )
            connection.execute("DELETE FROM integration_url WHERE integration_id = ?", (hook.id,))
            connection.executemany(
                "INSERT OR IGNORE INTO integration_url (url_hash, integration_id) VALUES (?, ?)",
                [(self._vault.lookup(url), hook.id) for url in hook.urls],
            )
        self.lanes.follow(connection, hook, self._clock.steady())

    def _drop_hook(self, connection: sqlite3.Connection, hook_id: IntegrationId) -> None:
        self.lanes.discard(connection, hook_id, self._clock.steady())
        connection.execute("DELETE FROM integration WHERE id = ?", (hook_id,))
        # its attempts and request ids may be very many: out of sight now, swept in slices (decision 45)
        connection.execute("INSERT INTO removed (integration_id) VALUES (?) ON CONFLICT DO NOTHING", (hook_id,))

    # --- messages and events ------------------------------------------------------------------------

    def _write_messages(
        self,
        connection: sqlite3.Connection,
        units: Sequence[tuple[int, Changes]],
        results: Sequence[Committed | None],
        sizes: list[int],
    ) -> None:
        new, written = list[Message](), list[rows.Row]()
        for place, unit in units:
            posted = _posted(unit, results[place]) if unit.new_messages else {}
            for message in unit.new_messages:
                new.append(message)
                row = rows.message_row(message)
                sizes[place] += rows.message_size(row)
                written.append((*row, posted.get(message.id)))
        insert_rows(connection, _MESSAGES, written)
        self._count(connection, new)
        for place, unit in units:
            for message in unit.put_messages:
                row = rows.message_row(message)
                sizes[place] += rows.message_size(row)
                put(connection, "message", rows.MESSAGE_COLUMNS, row, message)
            for message_id in unit.drop_messages:
                self._drop_message(connection, message_id)

    def _drop_message(self, connection: sqlite3.Connection, message_id: MessageId) -> None:
        for row in connection.execute("DELETE FROM message WHERE id = ? RETURNING room_id", (message_id,)).fetchall():
            connection.execute(
                "UPDATE room SET messages = messages - 1,"
                " last_message_at = (SELECT max(at) FROM message WHERE room_id = room.id) WHERE id = ?",
                (row[0],),
            )

    def _count(self, connection: sqlite3.Connection, messages: Iterable[Message]) -> None:
        counts: Counter[RoomId] = Counter()
        last: dict[RoomId, int] = {}
        for message in messages:
            counts[message.room_id] += 1
            last[message.room_id] = max(message.at, last.get(message.room_id, message.at))
        connection.executemany(
            "UPDATE room SET messages = messages + ?1, last_message_at = max(?2, coalesce(last_message_at, ?2))"
            " WHERE id = ?3",
            [(number, last[room], room) for room, number in counts.items()],
        )

    def _write_facts(
        self,
        connection: sqlite3.Connection,
        units: Sequence[tuple[int, Changes]],
        inside: set[tuple[RoomId, UserId]],
        sizes: list[int],
    ) -> Iterable[tuple[int, Committed]]:
        seq = int(connection.execute("SELECT coalesce(max(seq), 0) FROM event").fetchone()[0])
        events: list[rows.Row] = []
        deliveries: list[rows.Row] = []
        attempts: list[rows.Row] = []
        woken: dict[LaneId, int] = {}
        due, now = self._clock.steady(), self._clock.now()
        results = []
        for place, unit in units:
            numbers, queued = list[EventSeq | None](), list[LaneId]()
            for fact in unit.facts:
                event = fact.event
                if event.kind is EventKind.ROOM_JOINED and (event.room_id, event.user_id) in inside:
                    numbers.append(None)  # somebody else brought the user in meanwhile
                    continue
                seq += 1
                numbers.append(EventSeq(seq))
                body = packed(event.json)
                sizes[place] += size_of(body)
                events.append(
                    (
                        seq,
                        event.org_id,
                        str(event.kind),
                        event.at,
                        event.room_id,
                        event.user_id,
                        body,
                    )
                )
                for one in fact.deliveries:
                    lane = self.lanes.find(connection, one.integration_id, one.url_hash)
                    if lane is None:  # removed since the event looked for listeners: deleting discards
                        continue
                    woken[lane.id] = due
                    queued.append(lane.id)
                    times = (0 if lane.ordered else due, due, due)
                    deliveries.append(
                        (lane.id, one.integration_id, seq, one.trigger_word, *times, timed_id(now), *_NEW)
                    )
                attempts += [rows.attempt_row(attempt, self._vault, seq) for attempt in fact.stopped]
            results.append((place, Committed(numbers=tuple(numbers), queued=tuple(queued))))
        insert_rows(connection, _EVENTS, events)
        insert_rows(connection, _DELIVERIES, deliveries)
        self.write_attempts(connection, attempts)
        self.lanes.wake(connection, woken)
        return results

    def write_attempts(self, connection: sqlite3.Connection, attempts: Sequence[rows.Row]) -> None:
        """Write history entries."""
        insert_rows(connection, _ATTEMPTS, attempts)

    # --- history of incoming hooks ------------------------------------------------------------------

    def _write_requests(
        self,
        connection: sqlite3.Connection,
        units: Sequence[Changes],
        results: Sequence[Committed | None],
        sizes: list[int],
    ) -> None:
        written = []
        for place, (unit, result) in enumerate(zip(units, results, strict=True)):
            request = unit.request
            if unit.previous_call is not None:
                self._count_previous(connection, unit.previous_call)
            if request is None or (result is not None and result.existed):
                continue
            if result is not None and result.duplicate and unit.dedup is not None:
                request = self._duplicate(connection, request, unit.dedup)
            number = self._next_number(connection, request.integration_id)
            row = rows.request_row(request, number % REQUESTS_KEPT, number, self._vault)
            sizes[place] += rows.request_size(row)
            written.append(row)
        insert_rows(connection, _REQUESTS, written, _IN_ITS_PLACE)

    @staticmethod
    def _count_previous(connection: sqlite3.Connection, call: PreviousCall) -> None:
        connection.execute(
            "INSERT INTO previous_call (integration_id, hash, calls, last_at) VALUES (?, ?, 1, ?)"
            " ON CONFLICT DO UPDATE SET calls = calls + 1, last_at = max(last_at, excluded.last_at)",
            (call.integration_id, call.hash, call.at),
        )

    def _duplicate(self, connection: sqlite3.Connection, request: HookRequest, dedup: Dedup) -> HookRequest:
        first = connection.execute(
            "SELECT body_hash FROM dedup WHERE key = ?", (dedup_digest(dedup.integration_id, dedup.key),)
        ).fetchone()[0]
        differed = first != dedup.body_hash
        return structs.replace(request, verdict=Verdict.DUPLICATE, message_ids=(), body_differed=differed)

    def _next_number(self, connection: sqlite3.Connection, hook_id: IntegrationId) -> int:
        last = self._request_numbers.get(hook_id)
        if last is None:
            last = connection.execute(
                "SELECT coalesce(max(number), 0) FROM hook_request WHERE integration_id = ?", (hook_id,)
            ).fetchone()[0]
        self._request_numbers[hook_id] = last + 1
        return int(last) + 1


Scopes = Callable[[OutgoingHook], Iterable[str]]
"""Which room scopes an outgoing hook listens to; the rule lives above, only its answer is stored."""


def _places(hook: Hook) -> set[tuple[str, bool]]:
    """Return the channels a hook names, as lists of a room find it, and whether each is only where a notice goes."""
    places = {(channel.casefold(), False) for channel in hook.channels or (EVERYWHERE,)}
    if isinstance(hook, OutgoingHook) and hook.target_room:
        places.add((f"#{hook.target_room.removeprefix('#')}".casefold(), True))
    return places


def dedup_digest(hook_id: IntegrationId, key: str) -> bytes:
    """Return the fixed-size form a sender's request id is stored in, however long it is; ids count per hook."""
    return hashlib.blake2b(f"{hook_id} {key}".encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _digests(dedup: Dedup) -> list[bytes]:
    sent = [dedup.key] if dedup.proof is None else [dedup.key, dedup.proof]
    return [dedup_digest(dedup.integration_id, key) for key in sent]


def _posted(unit: Changes, committed: Committed | None) -> dict[MessageId, EventSeq]:
    """Return the numbers of the events that tell of a unit's new messages, by message id."""
    numbers = committed.numbers if committed else ()
    return {
        fact.message_id: seq
        for fact, seq in zip(unit.facts, numbers, strict=False)
        if seq is not None and fact.message_id is not None
    }
