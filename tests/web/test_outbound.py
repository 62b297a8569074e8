"""Tests of the outgoing client on real loopback sockets, beside a honeypot that nobody may touch."""

import asyncio
import gzip
import socket
import ssl
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from bot.outbound import MAX_ANSWER_BYTES, MAX_DNS_RECORDS, Outbound
from handlers.http import Answered, Failed, OutboundRequest, Refused, Unsent
from handlers.targets import ADDRESS_REFUSED, AllowList
from tests.addresses import AddressCase, cases, name_of

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(handler: Handler, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Serve raw connections on a free loopback port; whatever still runs at the end is cancelled."""
    running: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        running.add(task)
        try:
            await handler(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client went away, or the test is over
        finally:
            running.discard(task)
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in list(running):
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def answering(raw: bytes) -> Handler:
    """Answer every request of every connection with the same bytes."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_request(reader)
            writer.write(raw)
            await writer.drain()

    return handler


async def read_request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return head + (await reader.readexactly(int(lengths[0].split(b":")[1])) if lengths else b"")


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer with the request itself."""
    while True:
        seen = await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(seen) + seen)


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Take the request and never answer."""
    await reader.read()


def only(port: int) -> AllowList:
    return AllowList.parse(f"127.0.0.1:{port}")


def call(url: str, *, deadline_s: float = 5.0, method: str = "POST", body: bytes = b"{}") -> OutboundRequest:
    return OutboundRequest(method, url, {"Content-Type": "application/json"}, body, deadline_s)


def resolving(*answers: Sequence[str]) -> Callable[[str], Awaitable[Sequence[str]]]:
    """Answer look-ups in turn; one more than planned has no address."""
    left = list(answers)

    async def resolve(host: str) -> Sequence[str]:
        return left.pop(0) if left else []

    return resolve


@pytest.fixture
async def honeypot() -> AsyncIterator[int]:
    """A port of this machine on no allow list; the test fails when somebody connects to it."""
    touched: list[str] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        touched.append(str(writer.get_extra_info("peername")))

    async with serving(handler) as port:
        yield port
        # A connection made before may still wait to be accepted: one of ours comes behind it.
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        own = str(writer.get_extra_info("sockname"))
        await reader.read()
        writer.close()
    assert touched == [own], "the honeypot was reached"


REFUSED = [case for case in cases() if case.dial == "refused"]


@pytest.mark.parametrize("case", REFUSED, ids=name_of)
async def test_refused_address_is_never_dialled(case: AddressCase, honeypot: int) -> None:
    """Whatever form or spelling an address has, or hides behind a name, no connection is made."""
    case = case.at(honeypot)
    allow = AllowList.parse(case.allow)
    async with Outbound(allow, resolve=resolving(case.resolves)) as outbound:
        result = await outbound.send(call(case.url, deadline_s=2))
    assert isinstance(result, Refused)
    assert (result == ADDRESS_REFUSED) is (case.write != "malformed")


LITERALS = [case for case in REFUSED if case.write == "refused" and not case.allow and "#" not in case.url]


async def test_name_for_a_refused_address_is_never_dialled(honeypot: int) -> None:
    """Every refused address is refused as well when a name resolves to it, alone or beside a public one."""
    addresses = {case.url.split("//")[1].rpartition(":")[0].strip("[]") for case in LITERALS}
    for address in filter(is_address, sorted(addresses)):
        answers = [address], ["93.184.216.34", address], [address, "2606:4700:4700::1111"]
        async with Outbound(AllowList(), resolve=resolving(*answers)) as outbound:
            for _ in answers:
                result = await outbound.send(call(f"http://hooks.example:{honeypot}/"))
                assert result == ADDRESS_REFUSED, address


def is_address(text: str) -> bool:
    try:
        return bool(ip_address(text))
    except ValueError:
        return False


async def test_allowed_target_is_called() -> None:
    """The request arrives as it was given, and the whole answer comes back."""
    async with serving(echo) as port, Outbound(only(port)) as outbound:
        result = await outbound.send(call(f"http://127.0.0.1:{port}/in?key=%41+b", body=b'{"a":1}'))
    assert isinstance(result, Answered)
    assert result.status == 200
    assert not result.truncated
    assert 0 <= result.duration_ms < 5000
    head, _, body = result.body.partition(b"\r\n\r\n")
    assert body == b'{"a":1}'
    assert head.startswith(b"POST /in?key=%41+b HTTP/1.1\r\n")


@pytest.mark.parametrize(
    ("host", "allow", "answers"),
    [
        ("hooks.example", "hooks.example", [["127.0.0.1"]]),
        ("hooks.example.", "hooks.example:{port}", [["127.0.0.1"]]),
        ("hooks.example", "127.0.0.0/8", [["127.0.0.1"]]),
        ("hooks.example", "hooks.example", [["::1", "127.0.0.1"]]),
        ("localhost", "127.0.0.1", []),
        ("app.localhost", "127.0.0.0/8:{port}", []),
        ("[::ffff:127.0.0.1]", "127.0.0.1", []),
    ],
)
async def test_allowed_name_is_called(host: str, allow: str, answers: list[list[str]]) -> None:
    """A host or network entry opens a name, over a dead first address too; localhost asks no DNS."""
    async with serving(echo) as port:
        opened = AllowList.parse(allow.format(port=port))
        async with Outbound(opened, resolve=resolving(*answers)) as outbound:
            assert isinstance(await outbound.send(call(f"http://{host}:{port}/")), Answered)


async def test_rebound_name_is_refused(honeypot: int) -> None:
    """A name whose second answer is another address is judged again; within a call it is asked once."""
    closing = answering(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    async with serving(closing) as port:
        answers = ["127.0.0.1"], ["127.0.0.2"]
        async with Outbound(AllowList.parse("127.0.0.1"), resolve=resolving(*answers)) as outbound:
            assert isinstance(await outbound.send(call(f"http://hooks.example:{port}/")), Answered)
            assert await outbound.send(call(f"http://hooks.example:{port}/")) == ADDRESS_REFUSED
        async with Outbound(only(port), resolve=resolving(["127.0.0.1"])) as outbound:
            assert await outbound.send(call(f"http://hooks.example:{honeypot}/")) == ADDRESS_REFUSED


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("location", ["http://127.0.0.1:{honeypot}/", "//127.0.0.1:{honeypot}/", "file:///etc/passwd"])
async def test_redirect_is_an_answer(status: int, location: str, honeypot: int) -> None:
    """No redirect is followed, wherever it points."""
    raw = f"HTTP/1.1 {status} Moved\r\nLocation: {location.format(honeypot=honeypot)}\r\nContent-Length: 0\r\n\r\n"
    async with serving(answering(raw.encode())) as port, Outbound(only(port)) as outbound:
        result = await outbound.send(call(f"http://127.0.0.1:{port}/"))
    assert isinstance(result, Answered)
    assert result.status == status


async def test_proxy_of_the_environment_is_not_used(honeypot: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Proxy variables neither carry a call nor bypass the guard."""
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{honeypot}")
    async with serving(echo) as port, Outbound(only(port)) as outbound:
        assert isinstance(await outbound.send(call(f"http://127.0.0.1:{port}/")), Answered)
        assert await outbound.send(call(f"http://10.0.0.1:{port}/")) == ADDRESS_REFUSED


async def test_cookies_are_not_kept() -> None:
    """One tenant's receiver cannot leave anything for the next call."""
    seen: list[bytes] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            seen.append(await read_request(reader))
            writer.write(b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b; Path=/\r\nContent-Length: 0\r\n\r\n")

    async with serving(handler) as port, Outbound(only(port)) as outbound:
        for _ in range(2):
            await outbound.send(call(f"http://127.0.0.1:{port}/"))
    assert len(seen) == 2
    assert b"cookie" not in b"".join(seen).lower()


async def test_connection_is_kept() -> None:
    """Calls one after the other share a connection, after a refused and an oversized one too."""
    connections = 0

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await echo(reader, writer)

    async with serving(handler) as port, Outbound(only(port), limit=1) as outbound:
        url = f"http://127.0.0.1:{port}/"
        for _ in range(3):
            assert isinstance(await outbound.send(call(url)), Answered)
        assert connections == 1
        assert await outbound.send(call("http://127.0.0.1:1/")) == ADDRESS_REFUSED
        long = await outbound.send(call(url, body=b"x" * 300_000))
        assert isinstance(long, Answered)
        assert long.truncated
        assert isinstance(await outbound.send(call(url)), Answered)


@pytest.mark.parametrize(
    ("method", "tries"),
    [("POST", [1, 1, 2]), ("GET", [1, 2, 2])],  # a GET is tried on another kept one first
    ids=["POST", "GET"],
)
@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
async def test_kept_connection_that_is_just_closing(method: str, tries: list[int], reset: bool) -> None:
    """A receiver that lets go of a kept connection as a request comes gets it once more, on a fresh one."""
    taken: list[int] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = len(taken)
        taken.append(0)
        while True:
            await read_request(reader)
            taken[number] += 1
            if number < 2 and taken[number] == 2:
                if reset:
                    writer.transport.abort()
                return
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    async with serving(handler) as port, Outbound(only(port)) as outbound:
        url = f"http://127.0.0.1:{port}/"
        both = await asyncio.gather(*(outbound.send(call(url, method=method)) for _ in range(2)))
        assert taken == [1, 1]
        results = [*both, await outbound.send(call(url, method=method))]
    assert [type(result) for result in results] == [Answered] * 3
    assert sorted(taken) == tries


@pytest.mark.parametrize(
    "last_words",
    [
        pytest.param([b""], id="fresh"),
        pytest.param([b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b"HTTP/1.1 2"], id="began to answer"),
        pytest.param(
            [b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b"HTTP/1.1 200 OK\r\nX-A: b\r\n"], id="half a head"
        ),
    ],
)
async def test_other_broken_calls_are_not_sent_again(last_words: list[bytes]) -> None:
    """A fresh connection that breaks, or an answer that breaks off, is a failed call: the receiver may have acted."""
    requests = 0

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal requests
        for words in last_words:
            await read_request(reader)
            requests += 1
            writer.write(words)
            await writer.drain()

    async with serving(handler) as port, Outbound(only(port)) as outbound:
        results = [await outbound.send(call(f"http://127.0.0.1:{port}/")) for _ in last_words]
    assert isinstance(results[-1], Failed)
    assert requests == len(last_words)


async def test_tenant_cannot_set_connection_headers() -> None:
    """Host, length and connection headers are written by the client alone, once."""
    headers = {"Host": "evil.example", "Content-Length": "99", "Transfer-Encoding": "chunked", "X-Kept": "é"}
    async with serving(echo) as port, Outbound(only(port)) as outbound:
        request = OutboundRequest("POST", f"http://127.0.0.1:{port}/", headers, b"{}", 5)
        result = await outbound.send(request)
    assert isinstance(result, Answered)
    head = result.body.partition(b"\r\n\r\n")[0].split(b"\r\n")[1:]
    assert sorted(head) == sorted(
        [
            b"Host: 127.0.0.1:%d" % port,
            b"Accept: */*",
            b"Accept-Encoding: gzip, deflate",
            b"Content-Length: 2",
            b"X-Kept: " + "é".encode(),
        ]
    )


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("POST", {"X-A": "b\r\nX-Smuggled: 1"}),
        ("POST", {"X-A\r\nX-Smuggled": "1"}),
        ("POST", {"X-A": "\0"}),
        ("POST / HTTP/1.1\r\nX-Smuggled: 1\r\n\r\nGET", {}),
        ("CONNECT", {}),
        ("post", {}),
    ],
)
async def test_request_that_could_split_is_refused(method: str, headers: Mapping[str, str], honeypot: int) -> None:
    """A line break in a header or method is a value that says no, and nothing is dialled."""
    async with Outbound(only(honeypot)) as outbound:
        request = OutboundRequest(method, f"http://127.0.0.1:{honeypot}/", headers, b"", 1)
        assert isinstance(await outbound.send(request), Refused)


def slow_answer(start: bytes) -> Handler:
    """Send a start, then a byte whenever the loop comes by, far below the speed of any real receiver."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(start)
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.05)

    return handler


@pytest.mark.parametrize(
    "handler",
    [
        silent,
        slow_answer(b"HTTP/1.1 200 "),
        slow_answer(b"HTTP/1.1 200 OK\r\nX-Slow: "),
        slow_answer(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"),
        slow_answer(b"HTTP/1.1 200 OK\r\n\r\n"),
        slow_answer(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nX-Slow: "),
    ],
    ids=["silent", "status line", "headers", "body", "body without length", "interim"],
)
async def test_deadline_ends_a_tarpit(handler: Handler) -> None:
    """A receiver that never answers, or byte by byte, is left when the one deadline ends."""
    loop = asyncio.get_running_loop()
    async with serving(handler) as port, Outbound(only(port)) as outbound:
        start = loop.time()
        result = await outbound.send(call(f"http://127.0.0.1:{port}/s3cret?key=s3cret", deadline_s=0.3))
        assert loop.time() - start < 2
    assert isinstance(result, Failed)
    assert result.kind == "timeout"
    assert result.duration_ms >= 300
    assert "s3cret" not in result.message


async def test_deadline_ends_a_handshake_that_never_comes() -> None:
    """TLS counts against the same deadline."""
    async with serving(silent) as port, Outbound(only(port)) as outbound:
        result = await outbound.send(call(f"https://127.0.0.1:{port}/", deadline_s=0.3))
    assert isinstance(result, Failed)
    assert result.kind == "timeout"


async def test_deadline_covers_waiting_for_a_connection() -> None:
    """A call that gets no connection under the limit ends at its deadline as well."""
    async with serving(silent) as port, Outbound(only(port), limit=1) as outbound:
        requests = [call(f"http://127.0.0.1:{port}/", deadline_s=0.3) for _ in range(3)]
        results = await asyncio.gather(*map(outbound.send, requests))
    assert [result.kind for result in results if isinstance(result, Failed)] == ["timeout"] * 3


def flooding(first: bytes, then: bytes) -> Handler:
    """Answer with a start, then with a piece again and again, as fast as the other side takes it."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(first)
        while True:
            writer.write(then * (65536 // len(then)))
            await writer.drain()

    return handler


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
GZIPPED = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + gzip.compress(b"y")
FLOODS = {
    "100 Continue": flooding(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "103 Early Hints": flooding(b"", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"),
    "102 Processing": flooding(b"", b"HTTP/1.1 102 Processing\r\n\r\n"),
    "empty lines": flooding(b"", b"\r\n"),
    "lines of the head": flooding(b"HTTP/1.1 200 OK\r\n", b"X: a\r\n"),
    "a chunk's extensions": flooding(CHUNKED + b"5", b";a=b"),
    "chunks with long extensions": flooding(CHUNKED, b"1;" + b"a" * 4000 + b"\r\nx\r\n"),
    "trailers": flooding(CHUNKED + b"0\r\n", b"X: a\r\n"),
    "what follows packed data": flooding(GZIPPED, b"x"),
}


@pytest.mark.parametrize("handler", FLOODS.values(), ids=FLOODS)
async def test_a_flood_beside_the_body_is_cut_off(handler: Handler) -> None:
    """What brings no body has bounds: long before the deadline the receiver is hung up on, and nobody had to wait."""
    loop, longest = asyncio.get_running_loop(), 0.0

    async def watch() -> None:
        nonlocal longest
        while True:
            began = loop.time()
            await asyncio.sleep(0)
            longest = max(longest, loop.time() - began)

    async with serving(handler) as port, Outbound(only(port)) as outbound:
        watching = asyncio.create_task(watch())
        result = await outbound.send(call(f"http://127.0.0.1:{port}/", deadline_s=60))
        watching.cancel()
    assert isinstance(result, Failed)
    assert result.kind == "network"
    assert longest < 1


async def test_a_few_interim_answers_are_passed_over() -> None:
    """As a receiver may send them: the answer after them counts."""
    raw = b"HTTP/1.1 100 Continue\r\n\r\n" + b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 9
    handler = answering(raw + b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    async with serving(handler) as port, Outbound(only(port), limit=1) as outbound:
        for _ in range(3):
            result = await outbound.send(call(f"http://127.0.0.1:{port}/"))
            assert isinstance(result, Answered)
            assert (result.status, result.body) == (200, b"ok")


async def test_a_second_answer_is_not_taken_for_the_next_calls() -> None:
    """What comes on a kept connection before it was asked for ends it, however much of it there is."""
    twice = answering(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na" * 1000)
    async with serving(twice) as port, Outbound(only(port), limit=1) as outbound:
        for _ in range(3):
            result = await outbound.send(call(f"http://127.0.0.1:{port}/"))
            assert isinstance(result, Answered | Failed)
            assert not isinstance(result, Failed) or result.kind == "network"


async def test_one_slow_chat_leaves_connections_for_others() -> None:
    """Of calls that are shared by whom they are for, nobody has so many that others wait; no slot means not sent."""
    shared = Outbound(AllowList.parse("127.0.0.1"), limit=8, shares_calls=True)
    async with serving(silent) as slow, serving(echo) as swift, shared as outbound:
        hanging = [
            replace(call(f"http://127.0.0.1:{slow}/", deadline_s=2 if number < 4 else 0.2), share=("slow",))
            for number in range(20)
        ]
        waiting = [asyncio.create_task(outbound.send(one)) for one in hanging]
        result = await outbound.send(replace(call(f"http://127.0.0.1:{swift}/"), share=("swift",)))
        assert isinstance(result, Answered)
        ends = [type(await one) for one in waiting]
    assert ends.count(Failed) == 4
    assert ends.count(Unsent) == 16


async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        writer.write(b"x" * 16384)
        await writer.drain()


def bomb(encoding: str, wbits: int) -> Handler:
    packer = zlib.compressobj(9, zlib.DEFLATED, wbits)
    packed = b"".join([packer.compress(b"\0" * 2**20) for _ in range(200)]) + packer.flush()
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {encoding}\r\nContent-Length: {len(packed)}\r\n\r\n"
    return answering(head.encode() + packed)


@pytest.mark.parametrize(
    "handler",
    [endless, bomb("gzip", 31), bomb("deflate", 15), bomb("deflate", -15)],
    ids=["endless", "gzip", "deflate", "raw deflate"],
)
async def test_oversized_answer_is_cut(handler: Handler) -> None:
    """An endless or exploding answer costs less than 1 MiB, counts as answered and is flagged."""
    async with serving(handler) as port, Outbound(only(port)) as outbound:
        request = call(f"http://127.0.0.1:{port}/")
        await outbound.send(request)  # what is loaded once is no cost of the answer
        tracemalloc.start()
        try:
            result = await outbound.send(request)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert isinstance(result, Answered)
    assert result.status == 200
    assert result.truncated
    assert len(result.body) == MAX_ANSWER_BYTES
    assert peak < 2**20


def after_the_end(packed: bytes) -> Handler:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + packed)
        while True:
            writer.write(b"x" * 16384)
            await writer.drain()

    return handler


async def test_endless_rest_after_a_packed_answer_is_not_kept() -> None:
    """What follows the end of packed data takes no memory, and the deadline ends it."""
    async with serving(after_the_end(gzip.compress(b"y"))) as port, Outbound(only(port)) as outbound:
        request = call(f"http://127.0.0.1:{port}/", deadline_s=0.3)
        await outbound.send(request)
        tracemalloc.start()
        try:
            result = await outbound.send(request)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert isinstance(result, Failed)
    assert peak < 2**20


@pytest.mark.parametrize("encoding", ["br", "gzip", "deflate"])
async def test_answer_without_body_has_nothing_to_unpack(encoding: str) -> None:
    """An announced encoding does not matter where nothing follows."""
    raw = f"HTTP/1.1 200 OK\r\nContent-Encoding: {encoding}\r\nContent-Length: 0\r\n\r\n"
    async with serving(answering(raw.encode())) as port, Outbound(only(port)) as outbound:
        result = await outbound.send(call(f"http://127.0.0.1:{port}/"))
    assert isinstance(result, Answered)
    assert result.body == b""


@pytest.mark.parametrize(("size", "truncated"), [(MAX_ANSWER_BYTES, False), (MAX_ANSWER_BYTES + 1, True)])
async def test_cap_counts_unpacked_bytes(size: int, truncated: bool) -> None:
    """Exactly the cap is whole, one byte more is not; packed answers are unpacked."""
    packed = gzip.compress(b"y" * size)
    raw = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed)
    async with serving(answering(raw + packed)) as port, Outbound(only(port)) as outbound:
        result = await outbound.send(call(f"http://127.0.0.1:{port}/"))
    assert isinstance(result, Answered)
    assert result.body == b"y" * min(size, MAX_ANSWER_BYTES)
    assert result.truncated is truncated


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 12\r\n\r\n" + gzip.compress(b"hello")[:12],
        b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X-Many: x\r\n" * 100_000 + b"\r\n",
    ],
    ids=lambda raw: ascii(raw[:60])[2:-1],
)
async def test_broken_answer_reads_like_a_closed_port(raw: bytes) -> None:
    """A port that speaks no HTTP, breaks off or is closed gives one text: nobody maps ports with it."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(raw)
        await writer.drain()

    async with serving(handler) as port:
        closed = await closed_port()
        allow = AllowList.parse("127.0.0.0/8")
        async with Outbound(allow) as outbound:
            results = [await outbound.send(call(f"http://127.0.0.1:{each}/s3cret")) for each in (port, closed)]
    assert [(type(result), getattr(result, "kind", None)) for result in results] == [(Failed, "network")] * 2
    assert len({result.message for result in results if isinstance(result, Failed)}) == 1
    assert "s3cret" not in str(results)


async def closed_port() -> int:
    """Return a port where nobody listens any more."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


async def test_answer_headers_can_be_stored() -> None:
    """Names are lower case, the first of repeated ones counts, and bytes that are no text are replaced."""
    raw = b"HTTP/1.1 429 Slow\r\nRetry-After: 5\r\nRETRY-AFTER: 6\r\nX-Odd: \xff\xfe\r\nContent-Length: 0\r\n\r\n"
    async with serving(answering(raw)) as port, Outbound(only(port)) as outbound:
        result = await outbound.send(call(f"http://127.0.0.1:{port}/"))
    assert isinstance(result, Answered)
    assert result.headers["retry-after"] == "5"
    assert result.headers["x-odd"] == "\ufffd\ufffd"


async def test_large_body_is_sent_whole() -> None:
    """A body beyond a megabyte arrives like any other."""
    body = b"z" * (2**20 + 1)
    received = 0

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal received
        received = len((await read_request(reader)).partition(b"\r\n\r\n")[2])
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")

    async with serving(handler) as port, Outbound(only(port)) as outbound:
        result = await outbound.send(call(f"http://127.0.0.1:{port}/", body=body))
    assert isinstance(result, Answered)
    assert received == len(body)


async def test_dns_that_never_answers_ends_at_the_deadline() -> None:
    """A dead name server holds a call no longer than its deadline."""

    async def never(host: str) -> Sequence[str]:
        return await asyncio.Future[Sequence[str]]()

    async with Outbound(AllowList(), resolve=never) as outbound:
        result = await outbound.send(call("http://hooks.example/", deadline_s=0.3))
    assert isinstance(result, Failed)
    assert result.kind == "timeout"


async def test_dns_time_is_capped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking a name up has a limit of its own, below a long deadline."""

    async def never(host: str) -> Sequence[str]:
        return await asyncio.Future[Sequence[str]]()

    monkeypatch.setattr("bot.dns.MAX_DNS_SECONDS", 0.1)
    async with Outbound(AllowList(), resolve=never) as outbound:
        result = await outbound.send(call("http://hooks.example/", deadline_s=60))
    assert isinstance(result, Failed)
    assert result.kind == "dns"


@pytest.mark.parametrize("count", [0, MAX_DNS_RECORDS + 1])
async def test_name_with_no_or_too_many_addresses_fails(count: int, honeypot: int) -> None:
    """A name with no address, or more than anybody needs, is not called at all."""
    async with Outbound(only(honeypot), resolve=resolving(["127.0.0.1"] * count)) as outbound:
        result = await outbound.send(call(f"http://hooks.example:{honeypot}/"))
    assert isinstance(result, Failed)
    assert result.kind == "dns"


async def test_unknown_name_fails() -> None:
    """What the resolver cannot find is a failed attempt that says so."""

    async def unknown(host: str) -> Sequence[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    async with Outbound(AllowList(), resolve=unknown) as outbound:
        result = await outbound.send(call("http://hooks.example/"))
    assert isinstance(result, Failed)
    assert result.kind == "dns"


def self_signed(folder: Path) -> ssl.SSLContext:
    """Return a server context whose certificate nobody vouches for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "hooks.example")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    pem = folder / "both.pem"
    pem.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context


async def no_tls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"220 mail.example ESMTP\r\n")
    await writer.drain()


async def test_certificate_is_verified(tmp_path: Path) -> None:
    """A certificate nobody vouches for, or a port without TLS, is a failed attempt of its own kind."""
    allow = AllowList.parse("127.0.0.1")
    async with serving(echo, self_signed(tmp_path)) as signed, serving(no_tls) as bare, Outbound(allow) as outbound:
        for port in (signed, bare):
            result = await outbound.send(call(f"https://127.0.0.1:{port}/"))
            assert isinstance(result, Failed)
            assert result.kind == "tls"


async def test_cancelled_call_lets_go() -> None:
    """Cancelling goes through and frees the connection for the next call."""
    reached = asyncio.Event()

    async def stuck(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reached.set()
        await reader.read()

    client = Outbound(AllowList.parse("127.0.0.1"), limit=1)
    async with serving(stuck) as port, serving(echo) as other, client as outbound:
        waiting = asyncio.create_task(outbound.send(call(f"http://127.0.0.1:{port}/", deadline_s=60)))
        await reached.wait()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert isinstance(await outbound.send(call(f"http://127.0.0.1:{other}/")), Answered)
