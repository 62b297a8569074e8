"""A request to an incoming hook, from its parsed body to the committed message (`rocketchat.md` §5.1)."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from msgspec import Struct, structs

from bot.flows.notices import Notices
from bot.flows.pace import Pace
from bot.flows.respond import ARCHIVED
from bot.workspace.directory import Directory
from bot.workspace.posting import Posting, Prepared
from handlers.acting import NOT_ACTING, NOT_REACHING
from handlers.errors import Fault
from handlers.formatter import Formatter
from handlers.message import Defaults, DraftFault, names_destination, read_draft
from handlers.outgoing import hops as hop_count
from handlers.signing.incoming import Checked
from storage.clock import Clock
from storage.ids import timed_id
from storage.ports import Ledger
from storage.records.changes import NOTHING, Changes, Dedup, PreviousCall, merge
from storage.records.hook_request import HookRequest, Verdict
from storage.records.integration import IncomingHook, is_muted
from storage.records.room import Room
from storage.records.user import User

DEDUP_HEADERS = ("webhook-id", "x-github-delivery", "idempotency-key")
"""Where senders put a request's id, in the order they are looked at (decision 37)."""

KEPT_VALUE_CHARS = 2_048
KEPT_HEADERS_CHARS = 16_384
"""Of a kept request's headers: a value is cut, and what comes after so many characters is left out. Signatures and
forwarded addresses stay whole; what a sender fills headers with must not fill the disk."""

OVERRIDE_DISABLED = "overriding destination channel is disabled for this integration"


class Received(Struct, frozen=True, gc=False):
    """A request that named a hook and its token, as it came."""

    method: str
    headers: Mapping[str, str]
    """Found whatever their case; repeated ones are all among its items."""
    raw: bytes
    checked: Checked | None = None
    """What the check of its signature found; None when the hook asks for none."""
    previous_token: bytes | None = None
    """The hash of the hook's token of before the last rotation, when the request named that."""


class Result(Struct, frozen=True, gc=False):
    """What the sender is told: `error` None is a 200."""

    verdict: Verdict
    error: str | None = None
    message_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Refusal:
    """Why a body cannot be posted, and where it was to go."""

    fault: Fault
    destinations: Sequence[str] = ()


class Receive:
    """Turns bodies into messages; message, event, deliveries, dedup id and history are one commit."""

    def __init__(
        self,
        directory: Directory,
        posting: Posting,
        ledger: Ledger,
        formatters: Mapping[str, Formatter],
        notices: Notices,
        pace: Pace,
        clock: Clock,
        max_chars: int,
    ) -> None:
        self._directory = directory
        self._posting = posting
        self._ledger = ledger
        self._formatters = formatters
        self._notices = notices
        self._pace = pace
        self._clock = clock
        self._max_chars = max_chars

    async def deliver(self, hook: IncomingHook, poster: User, received: Received, body: object) -> Result:
        """Post what a body asks for, once for each id the sender gave it."""
        if not self._pace.enters_at_once():
            await self._pace.enter()
        try:
            return await self._deliver(hook, poster, received, body)
        finally:
            self._pace.leave()

    async def _deliver(self, hook: IncomingHook, poster: User, received: Received, body: object) -> Result:
        if is_muted(hook, self._clock.now()):
            return await self._muted(hook, received)
        started = self._clock.monotonic()
        sent_id = _sent_id(hook, received)
        key, proof = _keys(hook, received, sent_id)
        prepared: Prepared | None = None
        # as the original: also [], "", 0 and false are nothing to post, unless a script may fill them
        if body is None or (not body and not hook.script_enabled):
            result = Result(Verdict.IGNORED)
            if key is not None and not await self._ledger.accepted(hook.id, key):
                key = None  # only what was posted uses an id up (decision 37)
        else:
            found = await self._prepare(hook, poster, received, body)
            if isinstance(found, Prepared):
                prepared = found
                result = Result(Verdict.POSTED, message_ids=tuple([message.id for message in found.messages]))
            elif key is not None and await self._ledger.accepted(hook.id, key):
                # the first one stands; whether this one could be posted now does not matter any more
                result = Result(Verdict.DUPLICATE)
            else:
                return await self._turned_away(hook, received, found)
        dedup = None
        if key is not None:
            digest = hashlib.blake2b(received.raw, digest_size=16).digest()
            dedup = Dedup(integration_id=hook.id, key=key, proof=proof, body_hash=digest, at=self._clock.now())
        took = self._clock.monotonic() - started
        request = self._request(hook, received, result, 200, dedup_key=None if key is None else sent_id, took=took)
        if prepared is None:
            changes = Changes(dedup=dedup, request=request, previous_call=self._previous_call(hook, received))
        else:
            previous_call = None if received.previous_token is None else self._previous_call(hook, received)
            changes = prepared.with_more(dedup=dedup, request=request, previous_call=previous_call)
        committed = await self._ledger.commit(changes)
        return Result(Verdict.DUPLICATE) if committed.duplicate else result

    async def post(
        self, hook: IncomingHook, poster: User, received: Received, body: object, *, mark: str, also: Changes
    ) -> Prepared | Fault:
        """Post a body at a person's wish, `mark` before its text; it uses no id up and is no call of the sender."""
        started = self._clock.monotonic()
        found = await self._prepare(hook, poster, received, body, mark=mark)
        if isinstance(found, _Refusal):
            return found.fault
        result = Result(Verdict.POSTED, message_ids=tuple(message.id for message in found.messages))
        took = self._clock.monotonic() - started
        request = self._request(hook, received, result, 200, dedup_key=None, took=took)
        await self._ledger.commit(merge(found.with_more(request=request), also))
        return found

    async def refuse(
        self, hook: IncomingHook, received: Received, error: str, status: int = 400, *, told: Changes = NOTHING
    ) -> Result:
        """Write a refused request into the hook's history, with the notice somebody gets about it."""
        result = Result(Verdict.REFUSED, error)
        request = self._request(hook, received, result, status, dedup_key=None, took=0)
        changes = Changes(request=request, previous_call=self._previous_call(hook, received))
        if told != NOTHING or changes != NOTHING:
            await self._ledger.commit(merge(told, changes))
        return result

    async def _muted(self, hook: IncomingHook, received: Received) -> Result:
        """Take a request and post nothing; it uses no id up, as nothing else does that was not posted (decision 37)."""
        result = Result(Verdict.MUTED)
        request = self._request(hook, received, result, 200, dedup_key=None, took=0)
        changes = Changes(request=request, previous_call=self._previous_call(hook, received))
        if changes != NOTHING:
            await self._ledger.commit(changes)
        return result

    async def _turned_away(self, hook: IncomingHook, received: Received, refusal: _Refusal) -> Result:
        told = NOTHING
        if refusal.fault.code == ARCHIVED:
            told = await self._notices.archived(hook, await self._archived(refusal.destinations))
        fault = refusal.fault
        # senders are told no more than the contract's code; the hook's people read whose rights are missing
        why = fault.bracketed if fault in (NOT_ACTING, NOT_REACHING) else fault.bare
        await self.refuse(hook, received, why, told=told)
        return Result(Verdict.REFUSED, fault.bare)

    async def _archived(self, destinations: Sequence[str]) -> str:
        """Name the rooms among the destinations that take no message any more."""
        found = [await self._posting.find(destination) for destination in destinations]
        return ", ".join(f"#{room.name}" for room in found if isinstance(room, Room) and room.archived)

    async def _prepare(
        self, hook: IncomingHook, poster: User, received: Received, body: object, *, mark: str = ""
    ) -> Prepared | _Refusal:
        formatted = self._formatters[hook.format].format(body)
        if isinstance(formatted, DraftFault):
            return _Refusal(Fault(formatted.error))
        if names_destination(formatted) and not hook.override_destination:
            return _Refusal(Fault(OVERRIDE_DISABLED))
        defaults = Defaults(hook.alias, hook.avatar, hook.emoji)
        draft = read_draft(formatted, defaults, max_chars=self._max_chars - len(mark))
        if isinstance(draft, DraftFault):
            return _Refusal(Fault(draft.error))
        if mark:
            draft = structs.replace(draft, text=f"{mark}{draft.text}".rstrip())
        destinations = draft.destinations if draft.has_destination else hook.channels
        hops = hop_count.incoming_hops(received.headers.get(hop_count.HEADER.lower()))
        prepared = await self._posting.prepare(draft, poster, destinations, hook=hook, hops=hops)
        return _Refusal(prepared, destinations) if isinstance(prepared, Fault) else prepared

    def _previous_call(self, hook: IncomingHook, received: Received) -> PreviousCall | None:
        if received.previous_token is None:
            return None
        return PreviousCall(integration_id=hook.id, hash=received.previous_token, at=self._clock.now())

    def _request(
        self,
        hook: IncomingHook,
        received: Received,
        result: Result,
        status: int,
        *,
        dedup_key: str | None,
        took: float,
    ) -> HookRequest | None:
        if not hook.keep_requests:
            return None
        now = self._clock.now()
        return HookRequest(
            id=timed_id(now),
            integration_id=hook.id,
            at=now,
            method=received.method,
            headers=kept_headers(received.headers),
            body=received.raw,
            verdict=result.verdict,
            status=status,
            error=result.error,
            message_ids=result.message_ids,
            dedup_key=None if dedup_key is None else dedup_key[:255],
            duration_us=round(took * 1_000_000),
            signature=None if received.checked is None else received.checked.verdict.value,
            previous_token=received.previous_token is not None,
        )


def _sent_id(hook: IncomingHook, received: Received) -> str | None:
    """Return the id a sender gave its request, where the hook looks for one."""
    if hook.dedup == "off":
        return None
    names = DEDUP_HEADERS if hook.dedup == "standard" else (hook.dedup.lower(),)
    return next((value for name in names if (value := received.headers.get(name))), None)


def _keys(hook: IncomingHook, received: Received, sent_id: str | None) -> tuple[str | None, str | None]:
    """Return what a request may be accepted by once: the sender's id, and what its signature proves.

    A signed request that was overheard must not be posted again, whatever the hook does about duplicates. Where the
    signature covers the id it is the same thing twice. The hub header covers the body alone, so that an honest sender
    may sign two alike: there an id tells them apart, and without one the signature itself is the id.
    """
    checked = received.checked
    if checked is None or checked.proof is None:
        return sent_id, None
    if checked.signs_id:
        covered = sent_id is not None and sent_id == received.headers.get(DEDUP_HEADERS[0])
        proof = None if covered else checked.proof
    elif sent_id is not None:
        proof = None
    else:
        told_apart = next((value for name in DEDUP_HEADERS if (value := received.headers.get(name))), "")
        proof = f"{checked.proof} {told_apart}"
    return (proof, None) if sent_id is None else (sent_id, proof)


def kept_headers(headers: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Return the headers a request is kept with, within their bounds."""
    # plain text: the names arrive as a class of aiohttp's
    kept = tuple([(str(name), value) for name, value in headers.items()])
    if len("".join(headers)) + len("".join(headers.values())) <= KEPT_VALUE_CHARS:  # nearly always
        return kept
    left, cut = KEPT_HEADERS_CHARS, list[tuple[str, str]]()
    for name, value in kept:
        short = value if len(value) <= KEPT_VALUE_CHARS else f"{value[:KEPT_VALUE_CHARS]}…"
        left -= len(name) + len(short)
        if left < 0:
            break
        cut.append((name, short))
    return tuple(cut)
