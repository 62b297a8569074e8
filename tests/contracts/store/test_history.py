"""What happened to hooks: a ring of requests, pages of attempts, and no secret readable in the file."""

import asyncio
import sqlite3
from contextlib import closing
from dataclasses import replace

from msgspec import structs

from storage.ids import IntegrationId, random_text
from storage.ports import Store
from storage.records.changes import Changes, Fact
from storage.records.delivery import DAMAGED
from storage.records.hook_request import Verdict
from storage.records.integration import SigningKey
from storage.records.user import Token, TokenKind
from tests.clock import ManualClock
from tests.contracts.store.engine import SqliteEngine
from tests.contracts.store.units import attempt, claim, event, queue_up, request, settle
from tests.records import ANN, NOON, incoming, outgoing

OTHER = IntegrationId("65e2f0b72dd9f928ada3e4ff")


async def test_a_request_comes_back_as_received(store: Store) -> None:
    """Every field and every byte survive, also headers that are not UTF-8."""
    full = request(
        method="PUT", headers=(("X-Odd", "a\udcffb"), ("x-odd", "")), body=bytes(range(256)),
        verdict=Verdict.REFUSED, status=400, error="too odd", message_ids=("m1", "m2"), dedup_key="k\udcff",
        duration_us=77,
    )  # fmt: skip
    await store.commit(Changes(new_hooks=(incoming(),), request=full))
    assert await store.request(full.id) == full
    assert await store.request("none") is None


async def test_a_hook_keeps_its_last_200_requests(store: Store) -> None:
    """The oldest request makes room for the next, per hook, also after a restart of the numbering."""
    await store.commit(Changes(new_hooks=(incoming(), incoming(id=OTHER)), request=request(integration_id=OTHER)))
    made = [request(status=number) for number in range(205)]
    await asyncio.gather(*(store.commit(Changes(request=one)) for one in made))
    kept = await store.requests(incoming().id, count=1000)
    assert kept == list(reversed(made))[:200]
    assert await store.requests(incoming().id, offset=2, count=3) == kept[2:5]
    assert len(await store.requests(OTHER)) == 1
    await store.commit(Changes(drop_hooks=(incoming().id,)))
    assert await store.requests(incoming().id) == []
    assert len(await store.requests(OTHER)) == 1


async def test_attempts_are_paged_by_last_change(store: Store) -> None:
    """History of several hooks is one list, newest change first or last, with its total; clearing is per hook."""
    stopped = [
        attempt(
            updated_at=NOON + number, integration_id=OTHER if number == 2 else outgoing().id, delivery_id=None,
            url_hash=None, trigger_word="!x", finished=number % 2 == 0, failed=True, status=503, response="no",
            error="503", message_id="m", called=False,
        )
        for number in range(4)
    ]  # fmt: skip
    (seq,) = (await store.commit(Changes(facts=(Fact(event=event(), stopped=tuple(stopped)),)))).numbers
    assert seq is not None
    written = [structs.replace(one, event_seq=seq) for one in stopped]
    assert await store.attempts([outgoing().id, OTHER]) == (written[::-1], 4)
    assert await store.attempts([outgoing().id], ascending=True, offset=1, count=1) == ([written[1]], 3)
    assert await store.attempts([]) == ([], 0)
    assert await store.attempt(written[2].id) == written[2]
    await store.clear_attempts(outgoing().id)
    assert await store.attempts([outgoing().id, OTHER]) == ([written[2]], 1)


async def test_removing_a_hook_removes_its_history(store: Store, clock: ManualClock) -> None:
    """Nothing of a removed hook's attempts is listed any more."""
    await store.commit(Changes(new_hooks=(outgoing(),)))
    await queue_up(store, outgoing(), "a")
    (leased,) = (await claim(store, clock.steady())).leases
    await settle(store, leased, clock.steady())
    await store.commit(Changes(drop_hooks=(outgoing().id,)))
    assert await store.attempts([outgoing().id]) == ([], 0)


async def test_a_restored_hook_has_its_history(store: Store, clock: ManualClock) -> None:
    """A hook made again under its id hears, calls and remembers as before; no sweep takes that away."""
    await store.commit(Changes(new_hooks=(outgoing(),)))
    await store.commit(Changes(drop_hooks=(outgoing().id,)))
    await store.commit(Changes(new_hooks=(outgoing(),)))
    await queue_up(store, outgoing(), "a")
    (leased,) = (await claim(store, clock.steady())).leases
    await settle(store, leased, clock.steady())
    assert (await store.attempts([outgoing().id]))[1] == 1
    await store.purge(clock.now())
    assert (await store.attempts([outgoing().id]))[1] == 1


async def test_no_secret_stands_in_the_file(store: Store, engine: SqliteEngine) -> None:
    """Neither the file nor its WAL holds a secret that was stored, used or replaced (decisions 9, 31, 33)."""
    secrets = {name: f"{name}-{random_text(30)}" for name in (
        "token", "secret", "token2", "secret2", "url", "url2", "key", "key2", "out", "out2", "login", "header", "body",
        "dedup",
    )}  # fmt: skip
    hook = incoming(token=secrets["token"], secret=secrets["secret"])
    out = outgoing(
        token=secrets["out"], urls=(f"https://a.test/{secrets['url']}",),
        signing_keys=(SigningKey(key=secrets["key"]),),
    )  # fmt: skip
    login = Token(
        hash=store.lookup(secrets["login"]), user_id=ANN, kind=TokenKind.SESSION, name=None, last_part="",
        created_at=NOON,
    )  # fmt: skip
    received = request(
        headers=(("X-Secret", secrets["header"]),), body=secrets["body"].encode(), dedup_key=secrets["dedup"]
    )
    await store.commit(Changes(new_hooks=(hook, out), new_tokens=(login,), request=received))
    later = replace(
        out, token=secrets["out2"], urls=(f"https://a.test/{secrets['url2']}",), version=2,
        signing_keys=(SigningKey(key=secrets["key2"]), SigningKey(key=secrets["key"], expires_at=NOON)),
    )  # fmt: skip
    changed = replace(hook, token=secrets["token2"], secret=secrets["secret2"], version=2)
    await store.commit(Changes(put_hooks=(later, changed)))
    await queue_up(store, later, "a")
    assert await store.hook_version(out.id, 1) == out
    assert await store.request(received.id) == received
    written = engine.bytes_on_disk()
    assert b"ops-bot" in written
    assert [name for name, secret in secrets.items() if secret.encode() in written] == []
    assert bytes(engine.keys[0]) not in written


async def test_what_a_receiver_answered_is_sealed(store: Store, engine: SqliteEngine) -> None:
    """Neither an answer nor the error that may quote it stands readable on the disk; without either nothing is."""
    answered = attempt(delivery_id=None, response='{"password": "c4n4ry-answer"}', error="quotes c4n4ry-error")
    silent = attempt(delivery_id=None)
    await store.commit(Changes(facts=(Fact(event=event(), stopped=(answered, silent)),)))
    kept = await store.attempt(answered.id)
    assert kept is not None
    assert (kept.response, kept.error) == (answered.response, answered.error)
    await store.backup(engine.path.with_name("copy.db"))
    on_disk = engine.bytes_on_disk() + engine.path.with_name("copy.db").read_bytes()
    assert answered.id.encode() in on_disk
    assert b"c4n4ry" not in on_disk
    assert altered(engine, "UPDATE attempt SET updated_at = 0 WHERE sealed IS NULL") == 1


async def test_a_damaged_answer_is_shown_as_damaged(store: Store, engine: SqliteEngine) -> None:
    """A row whose sealed part was exchanged says so, in its place, and hides no other."""
    both = [attempt(delivery_id=None, updated_at=NOON + number, response=f"answer {number}") for number in range(2)]
    await store.commit(Changes(facts=(Fact(event=event(), stopped=tuple(both)),)))
    taken = f"(SELECT sealed FROM attempt WHERE id = '{both[0].id}')"
    assert altered(engine, f"UPDATE attempt SET sealed = {taken} WHERE id = '{both[1].id}'") == 1
    shown, total = await store.attempts([outgoing().id])
    assert [(one.response, one.error) for one in shown] == [(None, DAMAGED), ("answer 0", None)]
    assert total == 2


def altered(engine: SqliteEngine, statement: str) -> int:
    """Change the file as another program would; returns how many rows."""
    with closing(sqlite3.connect(engine.path)) as file, file:
        return file.execute(statement).rowcount
