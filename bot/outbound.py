"""Open every outgoing connection, under one guard, one deadline and one size limit (security.md §1).

A custom resolver alone is no guard: aiohttp never asks it for literal addresses. So the addresses of a name
are judged together when it is resolved, and every single address again when its socket is made.
"""

import asyncio
import io
import socket
import ssl
import zlib
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache, partial
from ipaddress import ip_address
from types import TracebackType
from typing import Self

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from bot.answer_bounds import BoundedAnswers
from bot.dns import Lookups, Resolve, Unanswered, look_up
from bot.turns import Turns
from handlers.http import (
    METHODS,
    Answered,
    End,
    Failed,
    FailureKind,
    OutboundRequest,
    Refused,
    Unsent,
    sendable_headers,
)
from handlers.targets import ADDRESS_REFUSED, AllowList, Target, callable_addresses, judge_address, parse_url
from storage.shares import Path

MAX_ANSWER_BYTES = 64 * 1024  # decision 44, unpacked
CHAT_CALLS = 100
"""Calls of connected chats under way at once; deliveries have slots of their own, neither waits for the other."""
MAX_PACKED_BYTES = 2 * MAX_ANSWER_BYTES
"""Read of a packed answer: what unpacks to no more than the cap is never much longer itself."""
MAX_DNS_RECORDS = 100
# A name with a hundred dead addresses must not make us knock at a hundred doors.
MAX_DIALLED = 8
# Many servers close an idle connection after 5 s. Letting go first avoids most writing into a closing one.
KEEP_ALIVE_SECONDS = 4.0

_PACKED = {"gzip": 16 + zlib.MAX_WBITS, "x-gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}


@dataclass(slots=True)
class _Dial:
    """What the hooks deep inside the client need to know about the call, and what they found."""

    target: Target
    started: float
    share: Path
    waits: bool = False
    """There was no slot for it, or not yet: nothing is sent."""
    unresolved: bool = False
    """Nobody said in time what the name's addresses are."""
    refused: bool = False
    dialled: bool = False
    """Whether a connection was made for this call; if not, it went over a kept one."""
    answered: bool = False
    """Whether the head of the answer has come."""

    def judge(self, address: str, allow: AllowList) -> bool:
        """Judge one final address and remember a refusal; a zone id is no part of the address."""
        final = ip_address(address.partition("%")[0])
        if judge_address(final, self.target.port, self.target.host, allow):
            self.refused = True
        return self.refused

    def elapsed_ms(self) -> int:
        return round((asyncio.get_running_loop().time() - self.started) * 1000)


_dial: ContextVar[_Dial] = ContextVar("patchbay_dial")


class Outbound:
    """The HTTP client of the whole process, open inside its `async with`.

    `limit` bounds the connections open at once, and waiting for one counts against a call's deadline.
    A kept connection that ends before any answer is most often one the receiver was just closing: the request is
    sent once more, on a fresh one, whatever its method. Receivers may so see a request twice, as they may see a
    delivery twice anyway (delivery.md §1: at least once).
    `resolve` turns a host name into the texts of its addresses; the system is asked by default. Lookups are shared by
    whom calls are for, and so are the connections with `shares_calls`, for callers that do not share them themselves.
    """

    def __init__(
        self, allow: AllowList, *, limit: int = 100, resolve: Resolve = look_up, shares_calls: bool = False
    ) -> None:
        self._allow = allow
        self._limit = limit
        self._lookups = Lookups(resolve)
        self._turns = Turns(limit) if shares_calls else None
        self._resources = AsyncExitStack()
        self._kept: aiohttp.ClientSession | None = None
        self._fresh: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._resources.push_async_callback(self._lookups.close)
        guard = _GuardedResolver(self._lookups, self._allow)
        self._kept = self._open(guard, keep_s=KEEP_ALIVE_SECONDS)
        self._fresh = self._open(guard, keep_s=None)
        return self

    def _open(self, guard: AbstractResolver, *, keep_s: float | None) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            limit=self._limit,
            resolver=guard,
            # Without a cache the resolver runs in the task of the call, and so knows what it is for.
            use_dns_cache=False,
            socket_factory=self._guarded_socket,
            keepalive_timeout=keep_s,
            force_close=keep_s is None,
        )
        # the client has no other door for what a connection may receive
        connector._factory = partial(BoundedAnswers, loop=asyncio.get_running_loop())  # type: ignore[assignment] # a subclass
        session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"Accept-Encoding": "gzip, deflate"},
            skip_auto_headers=("User-Agent", "Content-Type"),
            timeout=aiohttp.ClientTimeout(total=None, connect=None, sock_connect=None, sock_read=None),
            trust_env=False,
            auto_decompress=False,
        )
        self._resources.push_async_callback(session.close)
        return session

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._resources.aclose()

    async def send(self, request: OutboundRequest) -> End:
        """Make one call: one deadline over DNS, connect, TLS, sending and the whole answer.

        Redirects are answers like others. No message holds path, query or what the network said, so that
        nobody can map ports with it (security.md §2).
        """
        target = parse_url(request.url)
        headers = sendable_headers(request.headers)
        if isinstance(target, Refused):
            return target
        if isinstance(headers, Refused):
            return headers
        if request.method not in METHODS:
            return Refused(f"The method must be one of {', '.join(sorted(METHODS))}.")
        dial = _Dial(target, asyncio.get_running_loop().time(), request.share)
        token = _dial.set(dial)
        try:
            async with asyncio.timeout(request.deadline_s):
                return await self._in_turn(request, dial, headers)
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            if dial.waits:
                return Unsent(f"Too many calls are under way, so {target.host} was not called.")
            return ADDRESS_REFUSED if dial.refused else _failed(error, request.deadline_s, dial)
        finally:
            _dial.reset(token)

    async def _in_turn(self, request: OutboundRequest, dial: _Dial, headers: dict[str, str]) -> Answered:
        if self._turns is None:
            return await self._tried(request, dial, headers)
        dial.waits = True
        await self._turns.take(dial.share)
        dial.waits = False
        try:
            return await self._tried(request, dial, headers)
        finally:
            self._turns.leave(dial.share)

    async def _tried(self, request: OutboundRequest, dial: _Dial, headers: dict[str, str]) -> Answered:
        try:
            return await self._call(self._kept, request, dial, headers)
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as error:
            if not _is_unanswered(error, dial):
                raise
            return await self._call(self._fresh, request, dial, headers)

    async def _call(
        self, session: aiohttp.ClientSession | None, request: OutboundRequest, dial: _Dial, headers: dict[str, str]
    ) -> Answered:
        if session is None:
            raise RuntimeError("Outbound has to be entered before it sends")
        # aiohttp warns about megabytes in one piece; a stream goes out in slices.
        body = io.BytesIO(request.body) if len(request.body) > 2**20 else request.body
        url = _url(dial.target.url)
        async with session.request(
            request.method, url, headers=headers, data=body or None, allow_redirects=False
        ) as response:
            dial.answered = True
            answer, truncated = await _read(response)
        return Answered(response.status, _plain(response.headers), answer, truncated, dial.elapsed_ms())

    def _guarded_socket(self, info: aiohttp.AddrInfoType) -> socket.socket:
        """Make the socket for one final address: literal or resolved, first try or a later one."""
        family, kind, protocol, _, address = info
        dial = _dial.get()
        if dial.judge(str(address[0]), self._allow):
            raise OSError("refused")
        dial.dialled = True
        return socket.socket(family, kind, protocol)


class _GuardedResolver(AbstractResolver):
    """Judges all addresses of a name together: one bad address among good ones refuses the call."""

    def __init__(self, lookups: Lookups, allow: AllowList) -> None:
        self._lookups = lookups
        self._allow = allow

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        dial = _dial.get()
        if dial.target.literals:  # localhost is never asked of DNS, which could say anything
            known = callable_addresses(dial.target, self._allow)
            addresses: Sequence[str] = [str(address) for address in known]
            dial.refused = not addresses
        else:
            addresses = await self._look_up(host, dial)
            dial.refused = any(dial.judge(address, self._allow) for address in addresses)
        if dial.refused:
            raise OSError("refused")
        return [
            ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=0)
            for address in addresses[:MAX_DIALLED]
        ]

    async def _look_up(self, host: str, dial: _Dial) -> Sequence[str]:
        try:
            addresses = await self._lookups.find(host, dial)
        except Unanswered:
            dial.unresolved = True
            raise
        if not 0 < len(addresses) <= MAX_DNS_RECORDS:
            raise socket.gaierror("no addresses, or too many")
        return addresses

    async def close(self) -> None:
        """Nothing to close: whoever made the resolver ends it."""


@lru_cache(maxsize=1024)
def _url(text: str) -> URL:
    return URL(text, encoded=True)


def _is_unanswered(error: aiohttp.ClientError, dial: _Dial) -> bool:
    """Tell whether a kept connection ended before any byte of an answer."""
    if dial.dialled or dial.answered or isinstance(error, aiohttp.ClientConnectorError):
        return False
    # aiohttp puts the part of a head that came where otherwise its text is
    return not isinstance(error, aiohttp.ServerDisconnectedError) or isinstance(error.message, str)


async def _read(response: aiohttp.ClientResponse) -> tuple[bytes, bool]:
    """Read and unpack an answer up to the cap, never holding more of it than the cap and one slice."""
    unpack = _Unpacker(response.headers.get("Content-Encoding", ""))
    kept, read = bytearray(), 0
    async for chunk in response.content.iter_any():
        kept += unpack(chunk, MAX_ANSWER_BYTES + 1 - len(kept))
        if len(kept) > MAX_ANSWER_BYTES:
            return bytes(kept[:MAX_ANSWER_BYTES]), True
        read += len(chunk)
        if read > MAX_PACKED_BYTES and unpack.packed:
            raise aiohttp.ClientPayloadError("packed bytes without end")
    if not unpack.whole:
        raise aiohttp.ClientPayloadError("the packed answer broke off")
    return bytes(kept), False


class _Unpacker:
    """Unpacks gzip and deflate until the limit is reached: aiohttp's own unfolds megabytes ahead."""

    def __init__(self, encoding: str) -> None:
        self._encoding = encoding.strip().lower()
        self._stream: zlib._Decompress | None = None

    def __call__(self, chunk: bytes, limit: int) -> bytes:
        if not self.packed:
            return chunk
        if self._encoding not in _PACKED:
            raise aiohttp.ClientPayloadError("an encoding nobody asked for")
        if self._stream is None:
            # Some servers mean bare deflate, without the zlib header that starts with an 8.
            bare = self._encoding == "deflate" and chunk[0] & 0x0F != 8
            self._stream = zlib.decompressobj(-zlib.MAX_WBITS if bare else _PACKED[self._encoding])
        if self._stream.eof:
            return b""  # what follows the end would only pile up
        try:
            return self._stream.decompress(chunk, limit)
        except zlib.error as error:
            raise aiohttp.ClientPayloadError("the packed answer is broken") from error

    @property
    def packed(self) -> bool:
        """Whether the answer is packed at all."""
        return self._encoding not in ("", "identity")

    @property
    def whole(self) -> bool:
        """Whether nothing of what was packed is missing; an answer without a body has nothing to miss."""
        return self._stream is None or self._stream.eof


def _plain(headers: Mapping[str, str]) -> dict[str, str]:
    plain: dict[str, str] = {}
    for name, value in headers.items():
        # Bytes that are no text arrive as lone surrogates, which nothing could store.
        plain.setdefault(name.lower(), value.encode(errors="surrogateescape").decode(errors="replace"))
    return plain


def _failed(error: Exception, deadline_s: float, dial: _Dial) -> Failed:
    host = dial.target.host
    kind: FailureKind = "network"
    text = f"The call to {host} failed: no connection, or it broke off before the answer was whole."
    if isinstance(error, TimeoutError):
        kind, text = "timeout", f"{host} gave no whole answer within {deadline_s:g} s."
    elif dial.unresolved:
        kind, text = "dns", f"No name server said in time what the address of {host} is: check its DNS servers."
    elif isinstance(error, aiohttp.ClientConnectorDNSError):
        kind, text = (
            "dns",
            f"The host name {host} has no usable address: check its spelling and its DNS records.",
        )
    elif isinstance(error, (aiohttp.ClientSSLError, ssl.SSLError)):
        kind, text = (
            "tls",
            f"No secure connection to {host}: check its certificate, or whether it speaks TLS.",
        )
    return Failed(kind, text, dial.elapsed_ms())
