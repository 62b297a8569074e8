"""A writer that stands still, as on a disk that hangs: nobody waits for long, and its late answers are heard."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from storage.clock import SystemClock
from storage.errors import Overloaded, Unavailable, Uncertain
from storage.ids import MessageId
from storage.records.changes import Changes
from storage.records.event import Event
from storage.sqlite import apart, line
from storage.sqlite.store import SqliteStore, open_store
from storage.vault import Vault
from tests.contracts.store.engine import KEY, scopes
from tests.contracts.store.units import fact, queue_up
from tests.doors import through
from tests.faults.stage import post, until
from tests.process import children
from tests.records import NOON, ORG, message, outgoing, room, user
from tests.server import Server, serving

BOUND_S = 0.4
SOON_S = 5.0
"""Far above the bounds of these tests, far below an hour: the machine may be busy."""
CERTAIN = "The server cannot store anything right now; nothing was changed. Try again shortly."


@pytest.fixture(autouse=True)
def short_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line, "ANSWER_S", BOUND_S)
    monkeypatch.setattr(line, "LOOK_S", 0.05)
    monkeypatch.setattr("bot.web.health.PROBE_S", BOUND_S)
    monkeypatch.setattr("bot.web.health.HOLDS_S", 0.0)


@contextmanager
def standing_still() -> Iterator[None]:
    """Stop the writer of this process, then let it go on."""
    [pid] = [pid for pid in children(os.getpid()) if apart.CHILD in Path(f"/proc/{pid}/cmdline").read_text()]
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    opened = open_store(tmp_path / "still.db", Vault([KEY]), SystemClock(), scopes, serving=True, apart=True)
    await opened.make_organisation(ORG, "Home", NOON)
    await opened.commit(Changes(new_users=(user(),), new_rooms=(room(),)))
    yield opened
    await opened.close()


def unit(name: str, text: str = "hi") -> Changes:
    return Changes(new_messages=(message(id=MessageId(name), text=text),), facts=(fact(body={"text": name}),))


async def goes_on(store: SqliteStore) -> None:
    """Wait until the store takes writes again."""
    async with asyncio.timeout(20):
        while store.troubles():  # noqa: ASYNC110 # the store signals nobody
            await asyncio.sleep(0.01)


async def test_who_waits_is_told_in_time_and_hears_of_it_later(store: SqliteStore) -> None:
    """What was handed over is uncertain, and known once it is answered; from then on nothing is taken until it is."""
    heard: list[Event] = []
    forgotten: list[float] = []
    store.subscribe(heard.extend)
    store.on_unheard(lambda: forgotten.append(time.monotonic()))
    with standing_still():
        began = time.monotonic()
        with pytest.raises(Uncertain, match="not certain whether"):
            await store.commit(unit("handed"))
        assert time.monotonic() - began < SOON_S
        assert list(store.troubles()) == ["writer"]
        began = time.monotonic()
        with pytest.raises(Unavailable, match="Nothing was changed") as refused:
            await store.commit(unit("refused"))
        assert not isinstance(refused.value, Uncertain)
        assert time.monotonic() - began < BOUND_S
        assert (heard, forgotten) == ([], [])
    await goes_on(store)
    assert [event.body["text"] for event in heard] == ["handed"]
    assert forgotten
    await store.commit(unit("after"))
    stored = [await store.message(MessageId(name)) is not None for name in ("handed", "refused", "after")]
    assert stored == [True, False, True]


async def test_what_never_left_is_certain_not_to_be_stored(store: SqliteStore) -> None:
    """Behind a full socket lies what the writer has nothing of: it is taken back, and the line goes on without it."""
    with standing_still():
        waiting = [asyncio.ensure_future(store.commit(unit(f"m{number}", "x" * 200_000))) for number in range(12)]
        ends = await asyncio.gather(*waiting, return_exceptions=True)
    faults = [type(end) for end in ends]
    left = faults.count(Uncertain)
    assert 0 < left < len(faults)
    assert faults == [Uncertain] * left + [Unavailable] * (len(faults) - left), "a later one left before an earlier one"
    await goes_on(store)
    await store.commit(unit("after"))
    for number, fault in enumerate(faults):
        found = await store.message(MessageId(f"m{number}"))
        assert (found is not None) is (fault is Uncertain)


async def test_the_line_holds_a_bounded_number_of_bytes(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever comes while the line is full is refused at once; one unit always finds room, however large."""
    monkeypatch.setattr(line, "LINE_BYTES", 1 << 20)
    await store.commit(unit("large", "x" * (3 << 20)))
    with standing_still():
        waiting = [asyncio.ensure_future(store.commit(unit(f"m{number}", "x" * 100_000))) for number in range(20)]
        await asyncio.sleep(0)
        refused = [one for one in waiting if one.done() and isinstance(one.exception(), Overloaded)]
        assert 5 < len(refused) < 15
        await asyncio.gather(*waiting, return_exceptions=True)
    await goes_on(store)
    await store.commit(unit("after"))


async def test_a_lease_whose_claim_was_answered_too_late_is_given_anew(tmp_path: Path) -> None:
    """A claim nobody waited for any more leases nothing for good: the next one voids what is in nobody's hand."""
    store = open_store(tmp_path / "claims.db", Vault([KEY]), SystemClock(), scopes, serving=True, apart=True)
    await store.make_organisation(ORG, "Home", NOON)
    await store.commit(Changes(new_users=(user(),), new_rooms=(room(),), new_hooks=(outgoing(),)))
    await queue_up(store, outgoing(), ["one", "two"])
    claim = {"limit": 1, "busy": {}, "lease_ms": 60_000, "lane_leases": 16}
    [kept] = (await store.claim(now=SystemClock().steady(), **claim)).leases  # type: ignore[arg-type] # plain values
    with standing_still(), pytest.raises(Uncertain):
        await store.claim(now=SystemClock().steady(), **claim)  # type: ignore[arg-type] # plain values
    await goes_on(store)
    assert (await store.claim(now=SystemClock().steady(), **claim)).leases == ()  # type: ignore[arg-type] # plain values
    again = await store.claim(
        now=SystemClock().steady(),
        in_hand={kept.delivery.id},
        lost=True,
        **claim,  # type: ignore[arg-type] # plain values
    )
    assert [leased.event.body["text"] for leased in again.leases] == ["two"]
    assert again.leases[0].delivery.receives == 0
    await store.close()


async def ready(server: Server) -> tuple[int, list[str]]:
    async with server.http.get(f"{server.url}/ready") as response:
        return response.status, (await response.json())["reasons"]


async def test_a_server_whose_writer_stands_still(tmp_path: Path) -> None:
    """Posts and calls get 503 in time, `/ready` says why, reads go on; what was written meanwhile counts afterwards."""
    async with serving(tmp_path / "data", apart=True) as server:
        await server.user("bob")
        bob = await server.login("bob")
        said = {"channel": "#general", "text": "hi"}
        assert (await server.api("POST", "chat.postMessage", said, who=bob))[0] == 200
        with standing_still():
            async with asyncio.timeout(SOON_S):
                off = {"userId": bob["X-User-Id"], "activeStatus": False}
                status, told = await server.api("POST", "users.setActiveStatus", off)
            assert status == 503
            assert "not certain whether it was stored; repeat it with the same id" in told["error"]
            async with asyncio.timeout(SOON_S):
                status, told = await post(server, "refused")
                assert (status, told["error"]) == (503, CERTAIN)
                status, reasons = await ready(server)
            assert status == 503
            assert "has not answered" in reasons[0]
            assert (await server.api("GET", "me"))[0] == 200

        async def is_ready() -> bool:
            return (await ready(server))[0] == 200

        await until(is_ready)
        status, told = await server.api("POST", "chat.postMessage", said, who=bob)
        assert status == 401, told
        assert await post(server, "again") == (200, {"success": True})


@pytest.mark.parametrize("name", ["commands.run", "slashCommand", "terminal", "slack", "mattermost"])
async def test_every_door_says_that_it_is_not_certain(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever types a line is told in the answers' own shape, and what became of it shows once the writer goes on."""
    async with through(name, tmp_path / "data", apart=True) as door:
        monkeypatch.setattr(line, "ANSWER_S", 0.05)  # before a chat is told to wait
        with standing_still():
            try:
                told = (await door.say("in disable first-hook")).text
            except AssertionError as refused:  # doors of this server answer with an error
                told = str(refused)
        assert "it is not certain whether it was stored" in told
        assert "repeat it with the same id" in told
