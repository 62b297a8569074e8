"""What passes between a server and its writer's process: frames of jobs, and frames of their results.

What most requests and deliveries cause travels as MessagePack, all else pickled. Both ends are this program, on a
socket pair nobody else has; nothing from outside is ever unpickled.
"""

import pickle
from collections.abc import Iterator, Sequence
from functools import lru_cache
from operator import attrgetter
from typing import Any, Self

from msgspec import Raw, Struct
from msgspec.msgpack import Decoder, Encoder

from storage.clock import Millis
from storage.errors import StorageError
from storage.ids import DeliveryId, LaneId
from storage.records.changes import Changes, Committed, Dedup, Fact
from storage.records.delivery import Attempt, Delivery, DeliveryState
from storage.records.event import Event
from storage.records.hook_request import HookRequest
from storage.records.integration import OutgoingHook
from storage.records.message import Message
from storage.records.outage import Outage
from storage.records.queue import Claimed, Leased, Settle, Settled
from storage.sqlite.engine import Engine
from storage.sqlite.transactions import Job

KNOWN_BYTES = 16 << 10
"""Hooks up to this size are remembered as they came; a larger one is rare, and is read each time."""
_HEAD = 4
_LIST = b"\xdd"
"""How a MessagePack list of any length begins; four bytes with its length follow."""
_LIST_HEAD = 5
_USUAL = ("dedup", "request", "new_messages", "chosen_ids", "facts")
_usual = attrgetter(*_USUAL)
_unusual = attrgetter(*(name for name in Changes.__struct_fields__ if name not in _USUAL))


class _Posted(Struct, frozen=True, gc=False, array_like=True, tag=True):
    """A unit of work of the usual kind: what a posted message causes."""

    dedup: Dedup | None
    request: HookRequest | None
    new_messages: tuple[Message, ...]
    chosen_ids: bool
    facts: tuple[Fact, ...]

    @classmethod
    def of(cls, changes: Changes) -> Self | None:
        """Return a unit as such a one; None when there is more in it."""
        return None if any(_unusual(changes)) else cls(*_usual(changes))

    @property
    def changes(self) -> Changes:
        return Changes(
            dedup=self.dedup,
            request=self.request,
            new_messages=self.new_messages,
            chosen_ids=self.chosen_ids,
            facts=self.facts,
        )


class _Ended(Struct, frozen=True, gc=False, array_like=True, tag=True):
    """The end of an attempt that causes nothing, or only posts."""

    delivery_id: DeliveryId
    lane_id: LaneId
    lease: int
    state: DeliveryState
    attempt: Attempt | None
    now: Millis
    retry_at: Millis | None
    reason: str | None
    posted: _Posted | None
    outage: Outage | None

    @classmethod
    def of(cls, one: Settle) -> Self | None:
        """Return an end as such a one; None when it causes more."""
        posted = None if one.changes is None else _Posted.of(one.changes)
        if one.changes is not None and posted is None:
            return None
        return cls(
            one.delivery_id, one.lane_id, one.lease, one.state, one.attempt, one.now, one.retry_at, one.reason, posted,
            one.outage,
        )  # fmt: skip

    @property
    def settle(self) -> Settle:
        return Settle(
            delivery_id=self.delivery_id,
            lane_id=self.lane_id,
            lease=self.lease,
            state=self.state,
            attempt=self.attempt,
            now=self.now,
            retry_at=self.retry_at,
            reason=self.reason,
            changes=None if self.posted is None else self.posted.changes,
            outage=self.outage,
        )


class _Lease(Struct, frozen=True, gc=False, array_like=True):
    """A lease; `hook` is the place of its hook among those of the claim."""

    delivery: Delivery
    lease: int
    until: Millis
    event: Event
    hook: int
    silent: bool


class _Claim(Struct, frozen=True, gc=False, array_like=True, tag=True):
    """The answer to a claim, with each hook once."""

    leases: tuple[_Lease, ...]
    hooks: tuple[bytes, ...]
    next_at: Millis | None

    @classmethod
    def of(cls, claimed: Claimed) -> Self:
        hooks: dict[str, OutgoingHook] = {leased.hook.id: leased.hook for leased in claimed.leases}
        places = {hook_id: place for place, hook_id in enumerate(hooks)}
        leases = [
            _Lease(leased.delivery, leased.lease, leased.until, leased.event, places[leased.hook.id], leased.silent)
            for leased in claimed.leases
        ]
        pickled = tuple([pickle.dumps(hook, pickle.HIGHEST_PROTOCOL) for hook in hooks.values()])
        return cls(tuple(leases), pickled, claimed.next_at)

    @property
    def claimed(self) -> Claimed:
        hooks = [_known_hook(one) if len(one) <= KNOWN_BYTES else _hook(one) for one in self.hooks]
        leases = [
            Leased(
                delivery=one.delivery,
                lease=one.lease,
                until=one.until,
                event=one.event,
                hook=hooks[one.hook],
                silent=one.silent,
            )
            for one in self.leases
        ]
        return Claimed(leases=tuple(leases), next_at=self.next_at)


_encoder = Encoder()
_jobs = Decoder(list[Raw])
_one_job = Decoder(_Posted | _Ended | bytes)
_results = Decoder(list[Committed | Settled | _Claim | bytes])


def frame(data: bytes) -> bytes:
    """Return a frame: its length, then what it holds."""
    return len(data).to_bytes(_HEAD, "little") + data


class Frames:
    """Collects bytes and returns what the frames hold that are complete."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take bytes; return what is complete with them."""
        buffer = self._buffer
        buffer += data
        at = 0
        while len(buffer) - at >= _HEAD:
            end = at + _HEAD + int.from_bytes(buffer[at : at + _HEAD], "little")
            if len(buffer) < end:
                break
            yield bytes(memoryview(buffer)[at + _HEAD : end])
            at = end
        if at:
            del buffer[:at]


def pack_job(job: Job) -> bytes:
    """Write a job, as an operation of the engine's by name."""
    plain = _plain(job)
    if plain is not None:
        try:
            return _encoder.encode(plain)
        except (OverflowError, TypeError, ValueError):  # an integer beyond 64 bits, or half a surrogate pair
            pass
    return _encoder.encode(_pickled(job))


def frame_of(packed: Sequence[bytes]) -> bytes:
    """Return a frame of jobs that are written already."""
    size = _LIST_HEAD + sum(map(len, packed))
    head = size.to_bytes(_HEAD, "little") + _LIST + len(packed).to_bytes(_LIST_HEAD - 1, "big")
    return b"".join((head, *packed))


def unpack_jobs(data: bytes) -> list[Job]:
    """Read the jobs of a frame; each weighs what it came as."""
    return [_job(sent) for sent in _jobs.decode(data)]


def pack_results(jobs: Sequence[Job]) -> bytes:
    """Write what became of jobs, in their order."""
    return _encoder.encode([_result(job) for job in jobs])


def unpack_results(data: bytes) -> list[tuple[Any, BaseException | None]]:  # Any: what each operation returns
    """Read what became of jobs: a result or an error for each."""
    return [
        pickle.loads(sent)  # noqa: S301 # our own other end
        if isinstance(sent, bytes)
        else (sent.claimed if isinstance(sent, _Claim) else sent, None)
        for sent in _results.decode(data)
    ]


def _plain(job: Job) -> _Posted | _Ended | None:
    if job.operation is Engine.commit:
        return _Posted.of(job.arguments[0])
    if job.operation is Engine.settle:
        return _Ended.of(job.arguments[0])
    return None


def _pickled(job: Job) -> bytes:
    return pickle.dumps((job.operation, job.arguments, job.many), pickle.HIGHEST_PROTOCOL)


def _job(sent: Raw) -> Job:
    weight = memoryview(sent).nbytes
    found = _one_job.decode(sent)
    match found:
        case _Posted():
            return Job(Engine.commit, (found.changes,), many=True, weight=weight)
        case _Ended():
            return Job(Engine.settle, (found.settle,), many=True, weight=weight)
        case _:
            operation, arguments, many = pickle.loads(found)  # noqa: S301 # our own other end
            return Job(operation, arguments, many, weight=weight)


def _result(job: Job) -> Committed | Settled | _Claim | bytes:
    if job.error is None and isinstance(job.result, Committed | Settled):
        return job.result
    if job.error is None and isinstance(job.result, Claimed):
        return _Claim.of(job.result)
    return pickle.dumps((job.result, _sendable(job.error)), pickle.HIGHEST_PROTOCOL)


def _hook(pickled: bytes) -> OutgoingHook:
    hook: OutgoingHook = pickle.loads(pickled)  # noqa: S301 # our own other end
    return hook


@lru_cache(maxsize=1024)
def _known_hook(pickled: bytes) -> OutgoingHook:
    """Return a hook, the same object while it is the same: most claims hold hooks of earlier ones."""
    return _hook(pickled)


def _sendable(error: BaseException | None) -> BaseException | None:
    """Return an error the server can be told; of a fault of the program only its name."""
    return error if error is None or isinstance(error, StorageError) else StorageError(f"{type(error).__name__} inside")
