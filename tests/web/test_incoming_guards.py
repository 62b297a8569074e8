"""What stands between a sender and a room: signatures, request ids, rate limit, history (decisions 11, 33, 36, 37)."""

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.workspace.hook_options import Options
from handlers.signing.standard_webhooks import new_key, parse_key, sign
from storage.records.hook_request import Verdict
from tests.clock import ManualClock
from tests.hook_door import JSON, OK, UNKNOWN, Answer, Door, door, failed, open_door, texts
from tests.server import Server, serving

BODY = b'{"text":"signed"}'
UNSIGNED = (401, {"success": False, "error": "invalid-signature"})


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def timed(tmp_path: Path, clock: ManualClock) -> AsyncIterator[Server]:
    """A server whose time stands still."""
    async with serving(tmp_path / "data", clock) as server:
        yield server


def hub(secret: str, body: bytes = BODY) -> dict[str, str]:
    """Sign as GitHub does."""
    return {"X-Hub-Signature-256": "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}


def standard(key: str, clock: ManualClock, *, body: bytes = BODY, age_s: int = 0, number: str = "1") -> dict[str, str]:
    """Sign as Standard Webhooks says."""
    parsed = parse_key(key)
    assert isinstance(parsed, bytes)
    return sign([parsed], message_id=f"msg_{number}", timestamp=clock.now() // 1000 - age_s, body=body)


async def test_a_hub_signature(timed: Server) -> None:
    """The hook with a secret takes only bodies signed with it, over the bytes as they came."""
    hook = await door(timed)
    await hook.edit(Options(secret="a secret of ours"))
    assert await hook.send_raw(BODY, JSON, hub("a secret of ours")) == (200, OK)
    wrong: list[dict[str, str]] = [
        {},
        hub("another secret"),
        hub("a secret of ours", BODY + b" "),
        {"X-Hub-Signature-256": ""},
        {"X-Hub-Signature-256": "sha256="},
        {"X-Hub-Signature-256": "sha1=" + "0" * 40},
        {"X-Hub-Signature-256": "sha256=" + "0" * 64 + "\u00e9"},
        {"X-Hub-Signature": hub("a secret of ours")["X-Hub-Signature-256"]},
    ]
    for headers in wrong:
        assert await hook.send_raw(BODY, JSON, headers) == UNSIGNED, headers
    assert await texts(timed) == ["signed"]
    assert await hook.verdicts() == ["posted", *["refused"] * len(wrong)]
    reasons = {request.error for request in await hook.requests() if request.verdict is Verdict.REFUSED}
    assert reasons == {f"invalid-signature: signature-{why}" for why in ("missing", "mismatch", "malformed")}


async def test_a_standard_webhooks_signature(timed: Server, clock: ManualClock) -> None:
    """Five minutes off in either direction is still good, a second more is not."""
    hook, key = await door(timed), new_key()
    await hook.edit(Options(secret=key))
    for number, (age, expected) in enumerate([(0, 200), (299, 200), (301, 401), (-299, 200), (-301, 401)]):
        headers = standard(key, clock, age_s=age, number=str(number))
        assert (await hook.send_raw(BODY, JSON, headers))[0] == expected, age
    other = standard(new_key(), clock, number="other")
    right = standard(key, clock, number="other")["webhook-signature"]
    both = {**other, "webhook-signature": f"{other['webhook-signature']} {right}"}
    assert await hook.send_raw(BODY, JSON, other) == UNSIGNED
    assert await hook.send_raw(BODY, JSON, both) == (200, OK)
    assert await hook.send_raw(b'{"text":"other"}', JSON, standard(key, clock)) == UNSIGNED
    assert await texts(timed) == ["signed"] * 4


async def test_a_signature_is_judged_before_the_body(timed: Server) -> None:
    """Unsigned rubbish is 401 like unsigned text; a wrong token is still 404; unsigned requests make no hooks."""
    hook = await door(timed, username="owner")
    await hook.edit(Options(secret="a secret of ours"))
    assert await hook.send_raw(b"{nonsense", JSON) == UNSIGNED
    assert (await hook.send_raw(b"{nonsense", JSON, hub("a secret of ours", b"{nonsense")))[0] == 400
    async with timed.http.get(hook.url) as response:
        assert (response.status, await response.json()) == UNSIGNED
    async with timed.http.post(f"{timed.url}/hooks/{hook.id}/wrong", json={}) as response:
        assert (response.status, await response.json()) == (404, UNKNOWN)
    for extra in ("add", "remove"):
        async with timed.http.post(f"{timed.url}/hooks/{extra}/{hook.id}/{hook.token}", json={}) as response:
            assert (response.status, await response.json()) == UNSIGNED


async def test_a_request_id_counts_once(server: Server) -> None:
    """Of each id only the first request posts, by hook; history says which were repeated and whether they differed."""
    hook, other = await door(server), await door(server)
    all_three = {"webhook-id": "a", "X-GitHub-Delivery": "b", "Idempotency-Key": "c"}
    one_each = [{name: value} for name, value in all_three.items()]
    for headers in (all_three, *one_each, {"WEBHOOK-ID": "c"}):
        assert await hook.send({"text": "same"}, headers) == (200, OK)
    assert await hook.send({"text": "other body"}, {"webhook-id": "a"}) == (200, OK)
    assert await other.send({"text": "other hook"}, {"webhook-id": "a"}) == (200, OK)
    for _ in range(2):
        assert await hook.send({"text": "no id"}, {"webhook-id": ""}) == (200, OK)
    assert await texts(server) == ["same", "same", "same", "other hook", "no id", "no id"]
    repeated = [(request.verdict.value, request.body_differed) for request in reversed(await hook.requests())]
    posted, duplicate = ("posted", False), ("duplicate", False)
    assert repeated == [posted, duplicate, posted, posted, duplicate, ("duplicate", True), posted, posted]


async def test_the_same_request_at_once(server: Server) -> None:
    """64 copies that arrive together post one message; every sender gets 200."""
    hook = await door(server)
    answers = await asyncio.gather(*(hook.send({"text": "once"}, {"Idempotency-Key": "k"}) for _ in range(64)))
    assert answers == [(200, OK)] * 64
    assert await texts(server) == ["once"]
    assert sorted(await hook.verdicts()) == ["duplicate"] * 63 + ["posted"]


async def test_request_ids_by_another_header_or_not_at_all(server: Server) -> None:
    """A hook may name the header itself, whatever its case, or take every request."""
    hook = await door(server)
    for dedup, counted in (("X-Request-Id", 1), ("off", 2)):
        await hook.edit(Options(dedup=dedup))
        for text in ("own", "webhook-id"):
            for _ in range(2):
                headers = {"x-request-id" if text == "own" else text: f"{dedup} {text}"}
                assert await hook.send({"text": f"{dedup} {text}"}, headers) == (200, OK)
        found = await texts(server)
        assert found.count(f"{dedup} own") == counted
        assert found.count(f"{dedup} webhook-id") == 2


async def test_refused_requests_use_no_id_up(server: Server) -> None:
    """The id of a refused request still posts later; once posted it stays good though the room closes."""
    hook = await open_door(server)
    again = {"Idempotency-Key": "k"}
    bad: list[tuple[bytes, str]] = [(b"{", JSON), (b'{"text":5}', JSON), (b'{"channel":"#nothing"}', JSON)]
    for data, content_type in bad:
        assert (await hook.send_raw(data, content_type, again))[0] == 400
    await hook.edit(Options(enabled=False))
    assert (await hook.send({"text": "x"}, again))[0] == 503
    await hook.edit(Options(enabled=True))
    assert await hook.send({"text": "x"}, again) == (200, OK)
    await server.post("channels.archive", {"roomId": "GENERAL"})
    assert await hook.send({"text": "x"}, again) == (200, OK)
    assert await hook.send({"text": "x"}, {"Idempotency-Key": "new"}) == failed("error-room-archived")
    assert await texts(server) == ["x"]
    assert (await hook.verdicts())[-3:] == ["posted", "duplicate", "refused"]


async def test_a_request_that_posts_nothing_uses_no_id_up(server: Server) -> None:
    """An empty body leaves its id to the message that follows; after that it is a repetition (decision 37)."""
    hook = await door(server)
    again = {"Idempotency-Key": "k"}
    for body in ({}, {}, {"text": "x"}, {}, {"text": "x"}):
        assert await hook.send(body, again) == (200, OK)
    assert await texts(server) == ["x"]
    assert await hook.verdicts() == ["ignored", "ignored", "posted", "duplicate", "duplicate"]


async def test_history_keeps_requests_sealed(tmp_path: Path) -> None:
    """What came stands in the history as it came; neither it nor token or secret stands in any file in clear."""
    async with serving(tmp_path / "data") as server:
        hook, silent = await door(server), await door(server)
        await silent.edit(Options(keep_requests=False))
        await hook.edit(Options(secret="a secret of ours"))
        data = json.dumps({"text": "shown", "password": "hunter2-hunter2"}).encode()
        sent = {**hub("a secret of ours", data), "Authorization": "Bearer bearer-of-theirs", "webhook-id": "id-1"}
        assert await hook.send_raw(data, JSON, sent) == (200, OK)
        assert await silent.send({"text": "silent"}) == (200, OK)
        (request,) = await hook.requests()
        assert (request.method, request.status, request.body, request.dedup_key) == ("POST", 200, data, "id-1")
        assert ("Authorization", "Bearer bearer-of-theirs") in request.headers
        assert request.message_ids == ((await server.room_messages())[1]["_id"],)
        assert await silent.requests() == []
    stored = b"".join(path.read_bytes() for path in (tmp_path / "data").rglob("*") if path.is_file())
    assert b"shown" in stored
    for secret in ("hunter2-hunter2", "bearer-of-theirs", "a secret of ours", hook.token, silent.token):
        assert secret.encode() not in stored
        assert base64.b64encode(secret.encode()) not in stored


async def limited(hook: Door, number: int) -> list[Answer]:
    """Post so many messages, one after the other."""
    return [await hook.send({"text": "x"}) for _ in range(number)]


async def test_the_rate_limit(tmp_path: Path, clock: ManualClock) -> None:
    """A hook takes its burst, then as many a minute; headers and text are the contract's; others are not slowed."""
    async with serving(tmp_path / "data", clock, hook_rate_per_minute=3) as server:
        hook, other = await door(server), await door(server)
        async with server.http.post(hook.url, json={"text": "x"}) as response:
            shown = {name: value for name, value in response.headers.items() if name.startswith("X-RateLimit")}
        assert shown == {
            "X-RateLimit-Limit": "3",
            "X-RateLimit-Remaining": "2",
            "X-RateLimit-Reset": str(clock.now() + 20_000),
        }
        assert [status for status, _ in await limited(hook, 3)] == [200, 200, 429]
        clock.advance(5_000)
        async with server.http.post(hook.url, json={"text": "x"}) as response:
            assert (response.status, response.headers["Retry-After"]) == (429, "15")
            assert response.headers["X-RateLimit-Remaining"] == "0"
            assert await response.json() == {
                "success": False,
                "error": "Error, too many requests. Please slow down. You must wait 15 seconds before trying this"
                " endpoint again. [error-too-many-requests]",
            }
        assert await other.send({"text": "x"}) == (200, OK)
        clock.step_wall(-3_600_000)
        clock.advance(15_000)
        assert [status for status, _ in await limited(hook, 2)] == [200, 429]
        assert len(await hook.requests()) == 4
        async with server.http.get(f"{server.url}/hooks/info/{hook.id}/{hook.token}") as response:
            assert response.status == 429


async def test_unsigned_requests_have_a_limit_of_their_own(tmp_path: Path, clock: ManualClock) -> None:
    """A flood without the secret is held off too, but cannot keep the real sender out nor fill the history."""
    async with serving(tmp_path / "data", clock, hook_rate_per_minute=3) as server:
        hook = await door(server)
        await hook.edit(Options(secret="a secret of ours", dedup="off"))
        assert [status for status, _ in await limited(hook, 5)] == [401, 401, 401, 429, 429]
        assert await hook.send_raw(BODY, JSON, hub("a secret of ours")) == (200, OK)
        assert await hook.verdicts() == ["refused"] * 3 + ["posted"]


REPLAYED: list[tuple[str, str, dict[str, str], dict[str, str]]] = [
    # how it is signed, what the hook does about duplicates, what else it carried, what whoever overheard it adds
    ("standard", "off", {}, {}),
    ("standard", "off", {}, {"Idempotency-Key": "another"}),
    ("standard", "standard", {}, {"X-GitHub-Delivery": "another"}),
    ("standard", "X-Own", {"X-Own": "1"}, {"X-Own": "2"}),
    ("standard", "X-Own", {}, {"X-Own": "2"}),
    ("hub", "off", {}, {}),
    ("hub", "standard", {}, {}),
    ("hub", "X-Own", {}, {}),
    ("hub", "off", {"X-GitHub-Delivery": "1"}, {}),
]


@pytest.mark.parametrize(("scheme", "dedup", "carried", "added"), REPLAYED)
async def test_a_signed_request_is_posted_once(
    timed: Server, clock: ManualClock, scheme: str, dedup: str, carried: dict[str, str], added: dict[str, str]
) -> None:
    """Whoever overhears it gains nothing by sending it again, whatever the hook does about duplicates."""
    key = new_key()
    signed = standard(key, clock) if scheme == "standard" else hub(key)
    hook = await door(timed)
    await hook.edit(Options(secret=key, dedup=dedup))
    assert await hook.send_raw(BODY, JSON, {**signed, **carried}) == (200, OK)
    for _ in range(2):
        assert await hook.send_raw(BODY, JSON, {**signed, **carried, **added}) == (200, OK)
    if scheme == "hub":
        digits = signed["X-Hub-Signature-256"].removeprefix("sha256=")
        respelled = {"X-Hub-Signature-256": f"sha256={digits.upper()}"}
        clock.advance(7 * 24 * 3_600_000)
        assert await hook.send_raw(BODY, JSON, {**respelled, **carried, **added}) == (200, OK)
    assert await texts(timed) == ["signed"]
    assert (await hook.verdicts()).count("posted") == 1


async def test_what_is_signed_anew_is_another_request(timed: Server, clock: ManualClock) -> None:
    """With duplicates switched off a sender's repeat posts again; two equal bodies may have two ids."""
    key = new_key()
    hook = await door(timed)
    await hook.edit(Options(secret=key, dedup="off"))
    for age in (0, 1):
        assert await hook.send_raw(BODY, JSON, standard(key, clock, age_s=age)) == (200, OK)
    for number in ("1", "2"):
        assert await hook.send_raw(BODY, JSON, {**hub(key), "X-GitHub-Delivery": number}) == (200, OK)
    other = b'{"text":"other"}'
    assert await hook.send_raw(other, JSON, hub(key, other)) == (200, OK)
    assert await texts(timed) == ["signed"] * 4 + ["other"]


async def test_several_signatures_prove_one_request(timed: Server, clock: ManualClock) -> None:
    """Leaving one of two signatures out makes no other request of it."""
    key = new_key()
    parsed, old = parse_key(key), parse_key(new_key())
    assert isinstance(parsed, bytes)
    assert isinstance(old, bytes)
    both = sign([old, parsed], message_id="msg_1", timestamp=clock.now() // 1000, body=BODY)
    hook = await door(timed)
    await hook.edit(Options(secret=key, dedup="off"))
    assert await hook.send_raw(BODY, JSON, both) == (200, OK)
    assert await hook.send_raw(BODY, JSON, {**both, "webhook-signature": both["webhook-signature"].split()[1]}) == (
        200,
        OK,
    )
    zeros = {**both, "webhook-timestamp": "0" + both["webhook-timestamp"]}
    assert (await hook.send_raw(BODY, JSON, zeros))[0] == 401
    assert await texts(timed) == ["signed"]
