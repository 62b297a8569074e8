"""Webhooks managed over REST: rights, texts, lists and history (`rocketchat.md` §4, §8, §12; the seed of §4.5)."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from handlers.permissions import MANAGE_INCOMING, MANAGE_OUTGOING, MANAGE_OWN_INCOMING, MANAGE_OWN_OUTGOING
from tests.server import Server

Who = dict[str, str]
Json = dict[str, Any]

INCOMING: Json = {
    "type": "webhook-incoming",
    "name": "ci",
    "enabled": True,
    "username": "rocket.cat",
    "channel": "#general, @owner",
    "scriptEnabled": False,
}
OUTGOING: Json = {
    "type": "webhook-outgoing",
    "name": "ops-bot",
    "enabled": True,
    "event": "sendMessage",
    "username": "rocket.cat",
    "channel": "#general",
    "urls": ["https://bot.example.test/in"],
    "triggerWords": ["!deploy"],
    "token": "s3cret",
    "scriptEnabled": False,
}
LOGIN_NEEDED = (401, {"status": "error", "message": "You must be logged in to do this."})
NOT_PERMITTED = (
    403,
    {
        "success": False,
        "error": "User does not have the permissions required for this action [error-unauthorized]",
    },
)
TYPE = "must have required property 'type'"
ID = "must have required property 'integrationId'"
URL = "must have required property 'target_url'"
ONE_OF = "must match exactly one schema in oneOf [invalid-params]"


async def _make(server: Server, body: Json, who: Who | None = None, **more: object) -> Json:
    """Make a hook and return its record as later calls show it: with the time of its last change."""
    made: Json = (await server.post("integrations.create", {**body, **more}, who=who))["integration"]
    return {**made, "_updatedAt": made["_createdAt"]}


async def _user(server: Server, username: str, *held: str) -> Who:
    """Make a user who holds exactly these permissions."""
    who = await server.user(username, "viewer")
    owner = await server.services.directory.user_named("owner")
    user = await server.services.directory.user_named(username)
    assert owner is not None
    assert user is not None
    for permission in held:
        await server.services.users.set_permission(owner, user.id, permission, granted=True)
    return who


def _refused(error: str, **more: object) -> tuple[int, Json]:
    return 400, {"success": False, "error": error, **more}


# --- create, get, update ----------------------------------------------------------------------------


async def test_an_outgoing_hook_is_answered_as_the_contract_shows_it(server: Server) -> None:
    """The record of §4.1, with the token that was sent."""
    made = (await server.post("integrations.create", OUTGOING))["integration"]
    owner = {"_id": server.owner["X-User-Id"], "username": "owner"}
    assert made == {
        **OUTGOING,
        "_id": made["_id"],
        "channel": ["#general"],
        "userId": "rocket.cat",
        "scriptEngine": "isolated-vm",
        "_createdAt": made["_createdAt"],
        "_createdBy": owner,
    }
    assert len(made["_id"]) == 24
    got = await server.get("integrations.get", integrationId=made["_id"], createdBy=owner["_id"], extra="ignored")
    assert got == {"integration": {**made, "_updatedAt": made["_createdAt"]}, "success": True}


async def test_an_incoming_hook_gets_a_token_that_an_update_keeps(server: Server) -> None:
    """Posting user, token and type never change; what was sent does, and who changed it is noted (§4.4)."""
    made = await _make(server, INCOMING)
    assert (made["channel"], len(made["token"])) == (["#general", "@owner"], 48)
    change = {**INCOMING, "integrationId": made["_id"], "name": "builds", "username": "owner", "channel": "#general"}
    status, answer = await server.api("PUT", "integrations.update", change)
    changed = answer["integration"]
    assert (status, answer["success"]) == (200, True)
    assert changed["_updatedBy"]["username"] == "owner"
    kept = made.keys() - {"name", "channel", "_updatedAt"}
    assert {key: changed[key] for key in kept} == {key: made[key] for key in kept}
    assert (changed["name"], changed["channel"]) == ("builds", ["#general"])


@pytest.mark.parametrize(
    ("change", "error", "code"),
    [
        ({"token": None}, "Invalid token [error-invalid-token]", "error-invalid-token"),
        ({"integrationId": "none"}, "No integration found.", None),
        ({"type": "my-webhook-outgoing-1"}, "Invalid integration type.", None),
        ({"event": "nothing"}, "Invalid event type [error-invalid-event-type]", "error-invalid-event-type"),
        (
            {"triggerWords": [f"!{number}" for number in range(101)]},
            "At most 100 trigger words [error-invalid-triggerWords]",
            "error-invalid-triggerWords",
        ),
    ],
)
async def test_an_outgoing_update_is_refused_by_its_rules(
    server: Server, change: Json, error: str, code: str | None
) -> None:
    """Every outgoing update carries a token, an event and the exact type (§4.4)."""
    made = await _make(server, OUTGOING)
    status, answer = await server.api(
        "PUT", "integrations.update", {**OUTGOING, "integrationId": made["_id"], **change}
    )
    assert (status, answer["error"], answer.get("errorType")) == (400, error, code)
    assert (await server.get("integrations.get", integrationId=made["_id"]))["integration"] == made


async def test_an_outgoing_update_finds_its_hook_by_address(server: Server) -> None:
    """`target_url` names one of the addresses (§4.4)."""
    made = await _make(server, OUTGOING)
    change = {**OUTGOING, "target_url": OUTGOING["urls"][0], "urls": ["https://bot.example.test/new"]}
    status, answer = await server.api("PUT", "integrations.update", change)
    assert (status, answer["integration"]["_id"]) == (200, made["_id"])
    assert answer["integration"]["urls"] == ["https://bot.example.test/new"]


@pytest.mark.parametrize(
    ("query", "error", "code"),
    [
        ({}, "must have required property 'integrationId' [invalid-params]", "invalid-params"),
        ({"integrationId": ""}, 'The query parameter "integrationId" is required.', None),
        ({"integrationId": "none"}, "The integration does not exists.", None),
        ({"integrationId": "HOOK", "createdBy": "somebody"}, "The integration does not exists.", None),
    ],
)
async def test_get_says_what_is_missing(server: Server, query: dict[str, str], error: str, code: str | None) -> None:
    """The texts of §4.3."""
    made = await _make(server, INCOMING)
    asked = {key: made["_id"] if value == "HOOK" else value for key, value in query.items()}
    status, answer = await server.api("GET", "integrations.get", who=server.owner, **asked)
    assert (status, answer["error"], answer.get("errorType")) == (400, error, code)


@pytest.mark.parametrize(
    ("call", "method"),
    [
        ("integrations.create", "POST"),
        ("integrations.list", "GET"),
        ("integrations.get", "GET"),
        ("integrations.update", "PUT"),
        ("integrations.remove", "POST"),
        ("integrations.history", "GET"),
        ("integrations.clearHistory", "POST"),
        ("integrations.replayOutgoing", "POST"),
    ],
)
async def test_login_comes_before_everything_else(server: Server, call: str, method: str) -> None:
    """Without a login even a malformed request is a 401; any other method is a 405 before that (§1.1)."""
    assert await server.api(method, call, who={}) == LOGIN_NEEDED
    async with server.http.delete(f"{server.url}/api/v1/{call}") as response:
        assert (response.status, response.headers["Allow"]) == (405, method)
        assert await response.json() == {"status": "error", "message": "API endpoint does not exist"}


async def test_the_schema_comes_before_permissions(server: Server) -> None:
    """Who holds nothing learns of a malformed request first, of the missing permission then (§1.1, decision 19)."""
    viewer = await server.user("eve", "viewer")
    made = await _make(server, OUTGOING)
    hook_id = made["_id"]
    for method, call, given, expected in (
        ("GET", "integrations.list", {"fields": "{}"}, _bad("must NOT have additional properties")),
        ("GET", "integrations.list", {}, NOT_PERMITTED),
        ("GET", "integrations.history", {"count": "many", "id": hook_id}, _bad("must be number")),
        ("GET", "integrations.history", {"id": hook_id}, NOT_PERMITTED),
        ("GET", "integrations.get", {"integrationId": hook_id}, _refused("not-authorized")),
        ("POST", "integrations.remove", {"integrationId": hook_id}, _bad_removal(TYPE, TYPE, TYPE)),
        ("POST", "integrations.remove", {"type": "webhook-outgoing", "integrationId": "none"}, NOT_PERMITTED),
        ("POST", "integrations.create", OUTGOING, _refused("[not_authorized]", errorType="not_authorized")),
        (
            "POST",
            "integrations.create",
            INCOMING,
            _refused(
                "Unauthorized [not_authorized]",
                errorType="not_authorized",
                details={"method": "addIncomingIntegration"},
            ),
        ),
        (
            "POST",
            "integrations.clearHistory",
            {"integrationId": hook_id},
            _refused("Unauthorized [not_authorized]", errorType="not_authorized"),
        ),
        (
            "POST",
            "integrations.replayOutgoing",
            {"integrationId": hook_id, "historyId": "x"},
            _refused("Unauthorized [not_authorized]", errorType="not_authorized"),
        ),
    ):
        if method == "GET":
            assert await server.api(method, call, who=viewer, **given) == expected, call
        else:
            assert await server.api(method, call, given, who=viewer) == expected, call


def _bad(error: str) -> tuple[int, Json]:
    return _refused(f"{error} [invalid-params]", errorType="invalid-params")


def _bad_removal(*errors: str) -> tuple[int, Json]:
    return _refused("\n ".join([*errors, ONE_OF]), errorType="invalid-params")


# --- list -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("held", "seen"),
    [
        ([MANAGE_INCOMING, MANAGE_OUTGOING], {"first", "in-1", "out-1", "in-2", "out-2"}),
        ([MANAGE_OWN_INCOMING, MANAGE_OWN_OUTGOING], {"in-2", "out-2"}),
        ([MANAGE_OWN_INCOMING, MANAGE_OWN_OUTGOING, MANAGE_INCOMING], {"in-2", "out-2"}),
        ([MANAGE_INCOMING], {"first", "in-1", "in-2"}),
        ([MANAGE_OWN_INCOMING, MANAGE_OUTGOING], {"in-2", "out-1", "out-2"}),
    ],
)
async def test_a_list_shows_what_the_permissions_allow(server: Server, held: list[str], seen: set[str]) -> None:
    """The three rules of §4.2; a filter of the caller's never widens them."""
    ann = await _user(server, "ann", MANAGE_INCOMING, MANAGE_OWN_INCOMING, MANAGE_OUTGOING, MANAGE_OWN_OUTGOING)
    for who, number in ((None, 1), (ann, 2)):
        await _make(server, INCOMING, who, name=f"in-{number}")
        await _make(server, OUTGOING, who, name=f"out-{number}")
    owner = await server.services.directory.user_named("owner")
    assert owner is not None
    everything = [MANAGE_INCOMING, MANAGE_OWN_INCOMING, MANAGE_OUTGOING, MANAGE_OWN_OUTGOING]
    for permission in everything:
        user = await server.services.directory.user_named("ann")
        assert user is not None
        await server.services.users.set_permission(owner, user.id, permission, granted=permission in held)
    first = (await server.services.directory.hooks())[0].name
    expected = {first if name == "first" else name for name in seen}
    others = f'{{"$or":[{{"_createdBy._id":"{owner.id}"}},{{"_createdBy._id":"{ann["X-User-Id"]}"}}]}}'
    for query in ({}, {"query": others}):
        listed = await server.get("integrations.list", who=ann, **query)
        assert {item["name"] for item in listed["integrations"]} == expected
        assert listed["total"] == len(expected)


@pytest.mark.parametrize(
    ("query", "names", "total"),
    [
        ({"name": "OPS", "sort": '{"name":1}'}, ["Ops one", "ops two"], 2),
        ({"type": "webhook-outgoing", "sort": '{"name":-1}'}, ["ops two"], 1),
        ({"type": "webhook"}, [], 0),
        ({"query": '{"name":{"$regex":"^ops"}}'}, ["ops two"], 1),
        ({"query": '{"channel":"@owner"}', "name": "ops"}, ["Ops one"], 1),
        ({"sort": '{"name":-1}', "offset": "1", "count": "1", "name": "ops"}, ["Ops one"], 2),
    ],
)
async def test_a_list_is_narrowed_sorted_and_paged(
    server: Server, query: dict[str, str], names: list[str], total: int
) -> None:
    """`name` is a substring in any case, `type` exact, the rest as everywhere (§4.2, §1.4)."""
    await _make(server, INCOMING, name="Ops one")
    await _make(server, OUTGOING, name="ops two")
    listed = await server.get("integrations.list", who=server.owner, **query)
    assert [item["name"] for item in listed["integrations"]] == names
    count = len(names)
    assert listed == {
        "integrations": listed["integrations"],
        "offset": int(query.get("offset", 0)),
        "items": count,
        "count": count,
        "total": total,
        "success": True,
    }


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sort", "name"),
        ("query", '{"token":{"$regex":"^s"}}'),
        ("query", '{"urls":"https://bot.example.test/in"}'),
        ("query", '{"script":"x"}'),
        ("query", '{"$where":"1"}'),
    ],
)
async def test_a_list_refuses_what_it_does_not_understand_or_hides(server: Server, name: str, value: str) -> None:
    """Secrets cannot be found out by filtering; refusals name the parameter (decision 53)."""
    code = f"error-invalid-{name}"
    assert await server.api("GET", "integrations.list", who=server.owner, **{name: value}) == _refused(
        f'Invalid {name} parameter provided: "{value}" [{code}]',
        errorType=code,
        details={"helperMethod": "parseJsonQuery"},
    )


# --- remove: the seed -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "errors"),
    [
        ({}, (TYPE, TYPE, TYPE)),
        ({"integrationId": "x"}, (TYPE, TYPE, TYPE)),
        ({"type": "webhook-outgoing"}, (ID, URL, ID)),
        ({"type": "webhook-incoming"}, (ID, URL, ID)),
        (
            {"type": "webhook-outgoing", "integrationId": "x", "target_url": "x"},
            ('must match pattern "webhook-incoming"',),
        ),
        (
            {"type": "invalid-type", "integrationId": "x"},
            ('must match pattern "webhook-incoming"', URL, 'must match pattern "webhook-outgoing"'),
        ),
    ],
)
async def test_a_malformed_removal_is_refused_word_for_word(
    server: Server, body: Json, errors: tuple[str, ...]
) -> None:
    """The bodies of §4.5 and of the seed, as JSON and, where it can say so, as a form."""
    assert await server.api("POST", "integrations.remove", body) == _bad_removal(*errors)
    async with server.http.post(
        f"{server.url}/api/v1/integrations.remove", data=body or None, headers=server.owner
    ) as response:
        assert (response.status, await response.json()) == _bad_removal(*errors)


@pytest.mark.parametrize("kind", ["webhook-incoming", "webhook-outgoing"])
async def test_an_unknown_integration_is_not_found(server: Server, kind: str) -> None:
    """The seed's text, for either direction and for a hook of the other one (decision 10)."""
    made = await _make(server, OUTGOING if kind == "webhook-incoming" else INCOMING)
    for hook_id in ("none", made["_id"]):
        body = {"type": kind, "integrationId": hook_id}
        assert await server.api("POST", "integrations.remove", body) == _refused("No integration found.")
    assert (await server.get("integrations.get", integrationId=made["_id"]))["integration"] == made


async def test_a_type_that_only_contains_the_word_is_refused(server: Server) -> None:
    """The schema's patterns are not anchored, the handler is exact (§1.2)."""
    made = await _make(server, INCOMING)
    body = {"type": "my-webhook-incoming-1", "integrationId": made["_id"]}
    assert await server.api("POST", "integrations.remove", body) == _refused("Invalid integration type.")


@pytest.mark.parametrize(
    ("body", "by"),
    [
        (INCOMING, lambda made: {"integrationId": made["_id"]}),
        (OUTGOING, lambda made: {"integrationId": made["_id"], "extra": "allowed"}),
        (OUTGOING, lambda made: {"target_url": made["urls"][0]}),
    ],
    ids=["incoming", "outgoing", "by address"],
)
async def test_a_removed_integration_is_shown_as_it_was(server: Server, body: Json, by: Callable[[Json], Json]) -> None:
    """The answer is the whole record with `success`; afterwards it is unknown everywhere (§4.5)."""
    made = await _make(server, body)
    request = {"type": body["type"], **by(made)}
    assert await server.post("integrations.remove", request) == {"integration": made, "success": True}
    assert await server.api("POST", "integrations.remove", request) == _refused("No integration found.")
    gone = await server.api("GET", "integrations.get", integrationId=made["_id"])
    assert gone == _refused("The integration does not exists.")


async def test_removing_needs_the_permission_of_the_direction_and_the_own_one_ones_own(server: Server) -> None:
    """A permission of the other direction opens the route, not the hook (§4.5)."""
    ann = await _user(server, "ann", MANAGE_OWN_INCOMING)
    theirs = await _make(server, INCOMING)
    outgoing = await _make(server, OUTGOING)
    mine = await _make(server, {**INCOMING, "channel": "#general"}, ann)
    for hook, error, method in (
        (theirs, "Invalid integration [error-invalid-integration]", "deleteIncomingIntegration"),
        (outgoing, "Unauthorized [not_authorized]", "deleteOutgoingIntegration"),
    ):
        body = {"type": hook["type"], "integrationId": hook["_id"]}
        status, answer = await server.api("POST", "integrations.remove", body, who=ann)
        assert (status, answer["error"], answer["details"]) == (400, error, {"method": method})
    removed = await server.post(
        "integrations.remove", {"type": "webhook-incoming", "integrationId": mine["_id"]}, who=ann
    )
    assert removed["integration"] == mine


# --- history ----------------------------------------------------------------------------------------


@asynccontextmanager
async def _receiver() -> AsyncIterator[tuple[str, "asyncio.Queue[Json]"]]:
    """Run something that takes calls on the loopback and has nothing to say."""
    calls: asyncio.Queue[Json] = asyncio.Queue()

    async def take(request: web.Request) -> web.Response:
        await calls.put(await request.json())
        return web.json_response({})

    app = web.Application()
    app.router.add_post("/in", take)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/in", calls
    finally:
        await runner.cleanup()


async def _history(server: Server, hook_id: str, entries: int) -> Json:
    """Return the history once it has so many finished entries."""
    async with asyncio.timeout(10):
        while True:
            history: Json = await server.get("integrations.history", id=hook_id)
            if len([entry for entry in history["history"] if entry.get("httpResult")]) >= entries:
                return history


async def test_history_is_read_filtered_cleared_and_replayed(server: Server) -> None:
    """What a hook did stands there without its token, newest change first, and can be run again (§8, §12)."""
    async with _receiver() as (url, calls):
        made = await _make(server, OUTGOING, urls=[url], triggerWords=[])
        hook_id = made["_id"]
        for text in ("one", "two", "three"):
            await server.post("chat.postMessage", {"channel": "#general", "text": text})
            assert (await asyncio.wait_for(calls.get(), 10))["token"] == "s3cret"
        history = await _history(server, hook_id, 3)
        assert {key: history[key] for key in ("offset", "items", "count", "total", "success")} == {
            "offset": 0,
            "items": 3,
            "count": 3,
            "total": 3,
            "success": True,
        }
        texts = [entry["data"]["text"] for entry in history["history"]]
        assert sorted(texts) == ["one", "three", "two"]
        changes = [entry["_updatedAt"] for entry in history["history"]]
        assert changes == sorted(changes, reverse=True)
        assert "s3cret" not in str(history)
        assert {entry["integration"]["token"] for entry in history["history"]} == {"***"}

        page = await server.get("integrations.history", id=hook_id, offset="1", count="1", sort='{"_updatedAt":-1}')
        assert (page["offset"], page["count"], page["total"]) == (1, 1, 3)
        assert page["history"] == history["history"][1:2]
        message_id = history["history"][0]["data"]["message_id"]
        chosen = await server.get("integrations.history", id=hook_id, query=f'{{"data.message_id":"{message_id}"}}')
        assert chosen["history"] == history["history"][:1]

        entry_id = history["history"][0]["_id"]
        again = {"integrationId": hook_id, "historyId": entry_id}
        assert await server.post("integrations.replayOutgoing", again) == {"success": True}
        assert (await asyncio.wait_for(calls.get(), 10))["message_id"] == message_id
        await _history(server, hook_id, 4)
        assert await server.post("integrations.clearHistory", {"integrationId": hook_id}) == {"success": True}
        assert (await server.get("integrations.history", id=hook_id))["history"] == []
        assert await server.api("POST", "integrations.replayOutgoing", again) == _refused(
            "Invalid Integration History [error-invalid-integration-history]",
            errorType="error-invalid-integration-history",
        )


async def test_history_of_others_is_empty_for_the_own_permission(server: Server) -> None:
    """Who may only manage own hooks sees no history of others, like that of an unknown id (§4.6)."""
    async with _receiver() as (url, calls):
        hook_id = (await _make(server, OUTGOING, urls=[url], triggerWords=[]))["_id"]
        await server.post("chat.postMessage", {"channel": "#general", "text": "one"})
        await asyncio.wait_for(calls.get(), 10)
        await _history(server, hook_id, 1)
    ann = await _user(server, "ann", MANAGE_OWN_OUTGOING)
    empty = {"history": [], "offset": 0, "items": 0, "count": 0, "total": 0, "success": True}
    for asked in (hook_id, "none"):
        assert await server.get("integrations.history", who=ann, id=asked) == empty
    invalid = _refused("Invalid integration [error-invalid-integration]", errorType="error-invalid-integration")
    assert await server.api("POST", "integrations.clearHistory", {"integrationId": hook_id}, who=ann) == invalid


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"id": "  "}, _refused("Invalid integration id.")),
        ({"id": ""}, _bad("must NOT have fewer than 1 characters")),
        ({}, _bad("must have required property 'id'")),
        ({"id": "x", "fields": "{}"}, _bad("must NOT have additional properties")),
        ({"id": "x", "offset": "some"}, _bad("must be number")),
    ],
)
async def test_history_refuses_malformed_requests(
    server: Server, query: dict[str, str], expected: tuple[int, Json]
) -> None:
    """The texts of §4.6 and decision 51."""
    assert await server.api("GET", "integrations.history", who=server.owner, **query) == expected


async def test_a_list_in_a_query_is_no_text(server: Server) -> None:
    """`key[]=` makes a list, which the schema of these calls refuses (decision 51)."""
    assert await server.api("GET", "integrations.list", who=server.owner, **{"name[]": "ci"}) == _bad("must be string")
