"""People and their personal access tokens over REST (decisions 20, 22, 24, 49 and 50)."""

from typing import Any

import pytest

from tests.server import PASSWORD, Server

ANN = {"username": "ann", "name": "Ann", "email": "ann@example.test", "password": PASSWORD}
PUBLIC = {"_id", "username", "name", "type", "status", "active"}
FORBIDDEN = (403, {"success": False, "error": "unauthorized"})


async def _id(server: Server, username: str) -> str:
    found: str = (await server.get("users.info", username=username))["user"]["_id"]
    return found


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ({}, ["user"]),
        ({"roles": ["user"]}, ["user"]),
        ({"roles": ["editor"]}, ["user"]),
        ({"roles": ["admin"]}, ["admin"]),
        ({"roles": ["user", "bot"]}, ["user", "bot"]),
        ({"roles": []}, ["user"]),
    ],
)
async def test_a_user_is_made_with_the_roles_asked_for(
    server: Server, given: dict[str, object], shown: list[str]
) -> None:
    """Rocket.Chat's role names and ours are understood, and shown in Rocket.Chat's (decision 20)."""
    user = (await server.post("users.create", {**ANN, **given}))["user"]
    assert len(user["_id"]) == 17
    assert user["roles"] == shown
    assert user["emails"] == [{"address": "ann@example.test", "verified": True}]
    assert not {"services", "password", "password_hash"} & user.keys()
    assert (await server.login("ann"))["X-User-Id"] == user["_id"]


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"username": None}, "must be string [invalid-params]"),
        ({"username": "owner"}, "owner is already in use :( [error-field-unavailable]"),
        ({"email": "no address"}, "Invalid email no address [error-invalid-email]"),
        ({"roles": ["owner"]}, None),
        ({"roles": ["king"]}, None),
        ({"roles": [1]}, "Match error: Expected array of strings, got array in field roles"),
        ({"password": "short"}, None),
    ],
)
async def test_a_user_nobody_could_have_is_refused(
    server: Server, change: dict[str, object], error: str | None
) -> None:
    """A refused user says why, and is not there afterwards."""
    status, answer = await server.api("POST", "users.create", {**ANN, **change})
    assert status == 400
    assert answer["success"] is False
    assert answer["error"] == error or error is None
    assert (await server.api("GET", "users.info", username="ann"))[1]["error"] == "User not found."


async def test_what_create_needs_is_named_in_order(server: Server) -> None:
    """A missing field is a validation error in the classic words (§1.2)."""
    status, answer = await server.api("POST", "users.create", {"username": "ann"})
    assert (status, answer) == (
        400,
        {
            "success": False,
            "error": "must have required property 'email' [invalid-params]",
            "errorType": "invalid-params",
        },
    )


async def test_a_form_makes_a_user_who_is_not_active(server: Server) -> None:
    """Both encodings work; a user made inactive cannot log in."""
    form = {**ANN, "active": "false", "roles": "bot"}
    async with server.http.post(f"{server.url}/api/v1/users.create", data=form, headers=server.owner) as response:
        user = (await response.json())["user"]
    assert (user["active"], user["roles"]) == (False, ["user", "bot"])
    status, answer = await server.api("POST", "login", {"user": "ann", "password": PASSWORD}, who={})
    assert (status, answer["error"]) == (401, "Unauthorized")


async def test_only_admins_make_and_change_users(server: Server) -> None:
    """Editors and viewers are refused by the handler, whatever they ask."""
    editor = await server.user("ed", "editor")
    owner = server.owner["X-User-Id"]
    for call, body in (
        ("users.create", ANN),
        ("users.update", {"userId": owner, "data": {"name": "Mine"}}),
        ("users.update", {"userId": editor["X-User-Id"], "data": {"roles": ["admin"]}}),
        ("users.setActiveStatus", {"userId": owner, "activeStatus": False}),
    ):
        assert await server.api("POST", call, body, who=editor) == FORBIDDEN


async def test_admins_see_everything_and_others_only_of_themselves(server: Server) -> None:
    """E-mail addresses and roles of others are for admins, in info and list alike."""
    ann = await server.user("ann")
    for viewer, whose, complete in (
        (server.owner, "ann", True),
        (ann, "ann", True),
        (ann, "owner", False),
    ):
        user = (await server.get("users.info", who=viewer, username=whose))["user"]
        listed = await server.get("users.list", who=viewer)
        assert user in listed["users"]
        assert ("emails" in user) is complete
        if not complete:
            assert user.keys() == PUBLIC
        assert (listed["offset"], listed["count"], listed["total"]) == (0, 3, 3)


@pytest.mark.parametrize("family", ["channels", "groups"])
async def test_members_are_shown_as_any_user_is(server: Server, family: str) -> None:
    """Who is in a room and who has which role there are two questions; the second is answered to admins."""
    ann = await server.user("ann")
    room = (await server.post(f"{family}.create", {"name": "ops", "members": ["ann"]}))[family.removesuffix("s")]
    call = f"{family}.members"
    members = (await server.get(call, who=ann, roomId=room["_id"]))["members"]
    assert [(one["username"], "roles" in one, "createdAt" in one) for one in members] == [
        ("ann", True, True),
        ("owner", False, False),
    ]
    for key in ("roles", "createdAt"):
        by_key = f'{{"{key}":"admin"}}'
        status, answer = await server.api("GET", call, who=ann, roomId=room["_id"], query=by_key)
        assert (status, answer["errorType"]) == (400, "error-invalid-query")
    admins = (await server.get(call, roomId=room["_id"], query='{"roles":"admin"}'))["members"]
    assert [one["username"] for one in admins] == ["owner"]


async def test_a_list_is_not_filtered_by_what_it_does_not_show(server: Server) -> None:
    """Who is not shown an address may not find out by asking for it (decision 53)."""
    ann = await server.user("ann")
    by_email = '{"emails.address":"ann@example.test"}'
    found = await server.get("users.list", query=by_email)
    assert [user["username"] for user in found["users"]] == ["ann"]
    status, answer = await server.api("GET", "users.list", who=ann, query=by_email)
    assert (status, answer["errorType"]) == (400, "error-invalid-query")
    assert answer["details"] == {"helperMethod": "parseJsonQuery"}


async def test_a_list_is_sorted_and_paged(server: Server) -> None:
    """`sort`, `offset` and `count` work as everywhere (§1.4)."""
    await server.user("ann")
    page = await server.get("users.list", sort='{"username":-1}', offset="1", count="1")
    assert [user["username"] for user in page["users"]] == ["owner"]
    assert (page["offset"], page["count"], page["total"]) == (1, 1, 3)


@pytest.mark.parametrize(
    ("query", "error"),
    [
        (
            {},
            'The required "userId" or "username" param was not provided [error-user-param-not-provided]',
        ),
        ({"userId": "nobody"}, "User not found."),
        ({"username": "nobody"}, "User not found."),
    ],
)
async def test_info_about_nobody_is_refused(server: Server, query: dict[str, str], error: str) -> None:
    """A user has to be named, and to be there."""
    status, answer = await server.api("GET", "users.info", who=server.owner, **query)
    assert (status, answer["error"]) == (400, error)


async def test_an_update_changes_what_it_names(server: Server) -> None:
    """Name, e-mail address, roles and password change; a role sent back as shown changes nothing."""
    ann = await server.user("ann", "editor")
    data = {"name": "Ann B.", "email": "b@example.test", "roles": ["user", "bot"], "password": "another good password"}
    user = (await server.post("users.update", {"userId": ann["X-User-Id"], "data": data}))["user"]
    assert (user["name"], user["emails"][0]["address"], user["roles"]) == ("Ann B.", "b@example.test", ["user", "bot"])
    stored = await server.services.store.user_named("ann")
    assert stored is not None
    assert stored.role.value == "editor"
    assert (await server.api("GET", "me", who=ann))[0] == 401
    await server.login("ann", "another good password")


@pytest.mark.parametrize(
    ("data", "error"),
    [
        ("Ann", "must be object [invalid-params]"),
        ({"name": 5}, "Match error: Expected string, got number in field name"),
        ({"password": None}, "Match error: Expected string, got null in field password"),
        ({"active": "no"}, "Match error: Expected boolean, got string in field active"),
        ({"username": "anna"}, "A user name cannot be changed [error-action-not-allowed]"),
        ({"password": "short"}, None),
    ],
)
async def test_an_update_with_wrong_values_changes_nothing(server: Server, data: object, error: str | None) -> None:
    """What is wrong is named, and the old password still works."""
    ann = await server.user("ann")
    status, answer = await server.api("POST", "users.update", {"userId": ann["X-User-Id"], "data": data})
    assert status == 400
    assert answer["error"] == error or error is None
    await server.login("ann")


async def test_deactivating_ends_everything_and_names_the_hooks(server: Server) -> None:
    """Sessions and tokens end, hooks that post as the user are disabled and named in the answer (decision 24)."""
    ann = await server.user("ann", "editor")
    token = (await server.post("users.generatePersonalAccessToken", {"tokenName": "ci"}, who=ann))["token"]
    hook = {"type": "webhook-incoming", "name": "ci", "username": "ann", "channel": "#general"}
    made = (await server.post("integrations.create", {**hook, "enabled": True, "scriptEnabled": False}))["integration"]
    user_id = ann["X-User-Id"]
    answer = await server.post("users.setActiveStatus", {"userId": user_id, "activeStatus": False})
    assert answer == {
        "user": {"_id": user_id, "active": False},
        "disabledIntegrations": [{"_id": made["_id"], "name": "ci", "type": "webhook-incoming"}],
        "success": True,
    }
    for who in (ann, {**ann, "X-Auth-Token": token}):
        assert (await server.api("GET", "me", who=who))[0] == 401
    again = await server.post("users.update", {"userId": user_id, "data": {"active": True}})
    assert again["user"]["active"] is True
    kept = await server.get("integrations.get", integrationId=made["_id"])
    assert kept["integration"]["enabled"] is False
    assert kept["integration"]["token"] == made["token"]


async def test_a_personal_token_is_shown_once_and_acts_for_its_user(server: Server) -> None:
    """The whole life of a token: made, listed by its last characters, replaced, removed (decision 50)."""
    ann = await server.user("ann")
    named = {"tokenName": "ci"}
    first = (await server.post("users.generatePersonalAccessToken", named, who=ann))["token"]
    assert len(first) == 43
    assert await _works(server, ann, first)

    listed: Any = await server.get("users.getPersonalAccessTokens", who=ann)
    assert listed == {
        "tokens": [
            {
                "name": "ci",
                "createdAt": listed["tokens"][0]["createdAt"],
                "lastTokenPart": first[-4:],
                "bypassTwoFactor": False,
            }
        ],
        "success": True,
    }
    assert (await server.get("users.getPersonalAccessTokens"))["tokens"] == []

    second = (await server.post("users.regeneratePersonalAccessToken", named, who=ann))["token"]
    assert (await _works(server, ann, first), await _works(server, ann, second)) == (False, True)
    assert await server.post("users.removePersonalAccessToken", named, who=ann) == {"success": True}
    assert not await _works(server, ann, second)


async def _works(server: Server, who: dict[str, str], token: str) -> bool:
    status, _ = await server.api("GET", "me", who={**who, "X-Auth-Token": token})
    return status == 200


async def test_a_personal_token_survives_a_logout_and_a_new_password(server: Server) -> None:
    """Only removing it or deactivating its user ends it (decision 22)."""
    ann = await server.user("ann")
    token = (await server.post("users.generatePersonalAccessToken", {"tokenName": "ci"}, who=ann))["token"]
    await server.post("logout", who={**ann, "X-Auth-Token": token})
    await server.post("users.update", {"userId": ann["X-User-Id"], "data": {"password": "another good password"}})
    assert await _works(server, ann, token)


@pytest.mark.parametrize(
    ("call", "body", "status", "error"),
    [
        ("users.generatePersonalAccessToken", {"tokenName": "ci"}, 400, "error-token-already-exists"),
        ("users.regeneratePersonalAccessToken", {"tokenName": "other"}, 400, "error-token-does-not-exists"),
        ("users.removePersonalAccessToken", {"tokenName": "other"}, 400, "error-token-does-not-exists"),
        ("users.generatePersonalAccessToken", {}, 400, None),
        ("users.removePersonalAccessToken", {"tokenName": 5}, 400, None),
    ],
)
async def test_a_token_name_is_used_once_and_must_be_there(
    server: Server, call: str, body: dict[str, object], status: int, error: str | None
) -> None:
    """Names are unique for a user; unknown and missing ones are refused."""
    await server.post("users.generatePersonalAccessToken", {"tokenName": "ci"})
    got, answer = await server.api("POST", call, body)
    assert (got, answer.get("errorType")) == (status, error)
    if error == "error-token-already-exists":
        assert answer["error"] == "A token with this name already exists [error-token-already-exists]"
