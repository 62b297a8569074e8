"""Receivers that misbehave, called by the running server: history tells, the state is right, nobody else waits."""

import asyncio
import gzip
import tracemalloc
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from aiohttp.test_utils import unused_port

from storage.records.delivery import Attempt, Delivery, DeliveryState
from tests.clock import ManualClock
from tests.faults import stage
from tests.faults.conftest import Honeypot
from tests.scenarios.receiver import receiving
from tests.server import Server, serving
from tests.web.test_outbound import FLOODS, Handler, answering, read_request
from tests.web.test_outbound import serving as endpoint

DEADLINE_S = 1.0
POSTS = 5
BOMB = gzip.compress(bytes(64 << 20), 1)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with serving(tmp_path / "data", outgoing_timeout_s=DEADLINE_S) as running:
        yield running


def drip(first: bytes, then: bytes, pause_s: float) -> Handler:
    """Answer with some bytes, then with others for ever."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(first)
        while True:
            writer.write(then)
            await writer.drain()
            await asyncio.sleep(pause_s)

    return handler


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
BODY = HEAD + b"Content-Length: 1000\r\n\r\n"
SLOW = {
    "one byte a second": drip(BODY, b" ", 1.0),
    "five bytes a second": drip(BODY, b" ", 0.2),
    "five bytes of the head a second": drip(HEAD + b"X: ", b"a", 0.2),
    "five bytes of a chunk's size a second": drip(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"0", 0.2),
    "five lines of the head a second": drip(HEAD, b"X: a\r\n", 0.2),
    "five bytes before the head a second": drip(b"", b"\n", 0.2),
    "never an answer": drip(b"", b"", 1.0),
    "a head without end": drip(HEAD + b"X: ", b"a", 0.01),
}
"""Most never leave a pause that a limit on silence would notice: only the deadline of the whole call ends them."""
HUGE = {
    "a stream without end": drip(HEAD + b"\r\n", bytes(65536), 0),
    "chunks without end": drip(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1000\r\n" + bytes(4096) + b"\r\n", 0),
    "a gzip bomb": answering(HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(BOMB) + BOMB),
}


async def others_are_served(server: Server) -> None:
    """Post, and assert that a healthy receiver has everything before the bad one's deadline."""
    async with receiving() as healthy:
        await stage.hook_calling(server, healthy.url)
        async with asyncio.timeout(DEADLINE_S):
            for number in range(POSTS):
                await stage.say(server, f"m{number}")
            texts = {(await healthy.arrived()).json["text"] for _ in range(POSTS)}
    assert texts == {f"m{number}" for number in range(POSTS)}


@pytest.mark.parametrize("handler", SLOW.values(), ids=SLOW)
async def test_a_slow_receiver_ends_at_the_deadline(server: Server, handler: Handler) -> None:
    """However slow it is, the call ends at the deadline, is to be tried again, and delays nobody."""
    async with endpoint(handler) as port:
        hook = await stage.hook_calling(server, f"http://127.0.0.1:{port}/", retry_delay="powers-of-two")
        await others_are_served(server)
        tried = await stage.attempts(server, hook, POSTS)
    assert {attempt.error for attempt in tried} == {f"127.0.0.1 gave no whole answer within {DEADLINE_S:g} s."}
    assert {attempt.step for attempt in tried} == {"going-to-retry-1"}
    assert all(DEADLINE_S * 1000 <= attempt.duration_ms < DEADLINE_S * 2000 for attempt in tried)
    assert len(await stage.ended(server, hook, DeliveryState.QUEUED)) == POSTS


@pytest.mark.parametrize("handler", HUGE.values(), ids=HUGE)
async def test_a_huge_answer_is_cut(server: Server, handler: Handler) -> None:
    """An answer that will not end is read up to the cap, is delivered, is not posted, and costs little memory."""
    async with endpoint(handler) as port:
        hook = await stage.hook_calling(server, f"http://127.0.0.1:{port}/")
        tracemalloc.start()
        try:
            await others_are_served(server)
            tried = await stage.attempts(server, hook, POSTS)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert {(attempt.step, attempt.status, attempt.failed) for attempt in tried} == {("after-http-call", 200, False)}
    assert all("longer than" in (attempt.error or "") for attempt in tried)
    assert all(len((attempt.response or "").encode()) <= 2048 for attempt in tried)
    assert len(await stage.ended(server, hook, DeliveryState.DELIVERED)) == POSTS
    assert len(await server.room_messages()) == POSTS
    # the bound is delivery.md §7's 1 MiB a call; the receiver's own buffers are in the figure too
    assert peak < (POSTS + 2) << 20


@pytest.mark.parametrize("handler", FLOODS.values(), ids=FLOODS)
async def test_a_flood_beside_the_body_delays_nobody(server: Server, handler: Handler) -> None:
    """Interim answers, heads and framing without end: the receiver is hung up on, tried again later, nobody waits."""
    async with endpoint(handler) as port:
        hook = await stage.hook_calling(server, f"http://127.0.0.1:{port}/", retry_delay="powers-of-two")
        await others_are_served(server)
        tried = await stage.attempts(server, hook, POSTS)
    assert {attempt.error for attempt in tried} == {
        "The call to 127.0.0.1 failed: no connection, or it broke off before the answer was whole."
    }
    assert {attempt.step for attempt in tried} == {"going-to-retry-1"}


def each_its_own(answers: Sequence[bytes]) -> Handler:
    """Answer the path `/3` with the fourth of the answers."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = (await read_request(reader)).split()[1]
        writer.write(answers[int(path.removeprefix(b"/"))])
        await writer.drain()

    return handler


async def first_tries(server: Server, answers: Sequence[bytes]) -> list[tuple[Attempt, Delivery]]:
    """Call one hook for each of the answers; return the first attempt at each and its delivery, in that order."""
    async with endpoint(each_its_own(answers)) as port:
        hooks = [
            await stage.hook_calling(server, f"http://127.0.0.1:{port}/{number}", retry_delay="increments-of-two")
            for number in range(len(answers))
        ]
        await stage.say(server, "hello")
        tried = [(await stage.attempts(server, hook))[0] for hook in hooks]
    return [
        (attempt, (await stage.ended(server, hook, DeliveryState.QUEUED))[0])
        for hook, attempt in zip(hooks, tried, strict=True)
    ]


PLACES = ("http://127.0.0.1:{port}/", "http://localhost:{port}/", "//[::1]:{port}/", "file:///etc/passwd")
MOVED = (301, 302, 303, 307, 308)


async def test_a_redirect_is_an_answer(server: Server, honeypot: Honeypot) -> None:
    """A redirect is a failed call like any other: nobody goes where it points."""
    cases = [(status, place.format(port=honeypot.port).encode()) for status in MOVED for place in PLACES]
    answers = [
        b"HTTP/1.1 %d Moved\r\nLocation: %b\r\nContent-Length: 0\r\n\r\n" % (status, place) for status, place in cases
    ]
    for (status, place), (attempt, delivery) in zip(cases, await first_tries(server, answers), strict=True):
        assert (attempt.status, attempt.error) == (status, f"The receiver answered {status}."), place
        assert (attempt.step, delivery.tries) == ("going-to-retry-1", 1)
    assert honeypot.strangers() == []


RETRY_AFTER = {
    b"60": 60_000,
    b" 60 ": 60_000,
    b"999999999": 2_000,
    b"86401": 2_000,
    b"-1": 2_000,
    b"+60": 2_000,
    b"NaN": 2_000,
    b"inf": 2_000,
    b"1e9": 2_000,
    b"6_0": 2_000,
    b"9" * 7000: 2_000,
    b"Thu, 01 Jan 1970 00:00:00 GMT": 2_000,
    b"Thu, 99 Foo 9999 99:99:99 GMT": 2_000,
    "٦٠".encode(): 2_000,
}
"""What a busy receiver asks for, and how long is waited: the schedule's 2 s unless it makes sense."""


async def test_retry_after_abuse_changes_nothing(server: Server) -> None:
    """A Retry-After is kept to when it makes sense; any other leaves the schedule as it is."""
    answers = [
        b"HTTP/1.1 503 Busy\r\nRetry-After: " + value + b"\r\nContent-Length: 0\r\n\r\n" for value in RETRY_AFTER
    ]
    tried = await first_tries(server, answers)
    # a moment is stored for the settle, and the retry is planned a little before that
    waits = {
        value: round((delivery.available_at - attempt.updated_at) / 1000) * 1000
        for value, (attempt, delivery) in zip(RETRY_AFTER, tried, strict=True)
    }
    assert waits == RETRY_AFTER


async def test_an_endpoint_that_is_down_for_a_minute(tmp_path: Path) -> None:
    """What was posted while it was down arrives once it is back, each once, and history shows every try."""
    clock, port = ManualClock(), unused_port()
    async with serving(tmp_path / "data", clock) as server:
        hook = await stage.hook_calling(server, f"http://127.0.0.1:{port}/in")
        for number in range(POSTS):
            await stage.say(server, f"m{number}")
        tried = await stage.attempts(server, hook, POSTS)
        for tries, wait_ms in enumerate((100, 1_000, 10_000), 2):
            clock.advance(wait_ms)
            tried = await stage.attempts(server, hook, POSTS * tries)
        assert {attempt.error for attempt in tried} == {
            "The call to 127.0.0.1 failed: no connection, or it broke off before the answer was whole."
        }
        assert {attempt.step for attempt in tried} == {f"going-to-retry-{number}" for number in (1, 2, 3, 4)}
        async with receiving(port=port) as back:
            clock.advance(100_000)
            sent = [await back.arrived() for _ in range(POSTS)]
            assert {one.json["text"] for one in sent} == {f"m{number}" for number in range(POSTS)}
            done = await stage.ended(server, hook, DeliveryState.DELIVERED, POSTS)
        assert {delivery.tries for delivery in done} == {5}
