"""Logging in and out over REST (`rocketchat.md` §2, decisions 21-23)."""

import hashlib
from pathlib import Path
from typing import Any

import pytest

from tests.server import PASSWORD, Server, serving

LOGIN_NEEDED = {"status": "error", "message": "You must be logged in to do this."}
DIGEST = hashlib.sha256(PASSWORD.encode()).hexdigest()


@pytest.mark.parametrize(
    "credentials",
    [
        {"user": "ann", "password": PASSWORD},
        {"user": "ANN", "password": PASSWORD},
        {"user": "ann@example.test", "password": PASSWORD},
        {"username": "ann", "password": PASSWORD},
        {"email": "ann@example.test", "password": PASSWORD},
        {"user": "ann", "password": {"digest": DIGEST, "algorithm": "sha-256"}},
        {"user": "ann", "password": {"hashed": DIGEST}},
        {"user": "ann", "password": PASSWORD, "code": "123456"},
        {"payload": f'{{"user":"ann","password":"{PASSWORD}"}}'},
    ],
    ids=["user", "any case", "user is e-mail", "username", "email", "digest", "hashed", "code ignored", "payload"],
)
async def test_every_shape_of_credentials_logs_in(server: Server, credentials: dict[str, object]) -> None:
    """Whatever shape clients send credentials in, the answer is the one of §2 and its token works."""
    await server.user("ann")
    answer = await server.post("login", credentials, who={})
    data = answer["data"]
    assert answer == {
        "status": "success",
        "data": {
            "userId": data["userId"],
            "authToken": data["authToken"],
            "me": {
                "_id": data["userId"],
                "username": "ann",
                "name": "Ann",
                "roles": ["user"],
                "emails": [{"address": "ann@example.test", "verified": True}],
                "settings": {"profile": {}, "preferences": {}},
                "avatarUrl": f"{server.services.base_url}/avatar/ann",
            },
        },
    }
    assert len(data["authToken"]) == 43
    who = {"X-User-Id": data["userId"], "X-Auth-Token": data["authToken"]}
    assert await server.get("me", who=who) == {**data["me"], "success": True}


async def test_a_form_logs_in(server: Server) -> None:
    """A popular sender logs in with a form body."""
    form = {"user": "owner", "password": PASSWORD}
    async with server.http.post(f"{server.url}/api/v1/login", data=form) as response:
        answer = await response.json()
    assert answer["status"] == "success"
    assert answer["data"]["me"]["roles"] == ["admin"]


async def test_a_token_resumes_its_session(server: Server) -> None:
    """`resume` takes up a running session under the same token."""
    token = server.owner["X-Auth-Token"]
    answer = await server.post("login", {"resume": token}, who={})
    assert answer["data"]["authToken"] == token


@pytest.mark.parametrize(
    ("credentials", "error", "message"),
    [
        ({"user": "nobody", "password": PASSWORD}, "Unauthorized", "Unauthorized"),
        ({"user": "owner", "password": "not the password"}, "Unauthorized", "Unauthorized"),
        ({"resume": "x" * 43}, 403, "You've been logged out by the server. Please log in again."),
        ({"user": "owner"}, 400, 'Send "user" and "password", or "resume" with a token.'),
    ],
    ids=["unknown user", "wrong password", "unknown token", "nothing"],
)
async def test_a_failed_login_says_what_to_do_and_not_who_exists(
    server: Server, credentials: dict[str, object], error: object, message: str
) -> None:
    """Every failure is a 401 with a code and a reason."""
    status, answer = await server.api("POST", "login", credentials, who={})
    assert (status, answer) == (401, {"status": "error", "error": error, "message": message})


async def test_a_name_that_fails_too_often_is_locked_and_sessions_go_on(server: Server) -> None:
    """After five failures in a row the right password is refused too, and running sessions stay (decision 23)."""
    for _ in range(5):
        await server.api("POST", "login", {"user": "owner", "password": "not the password"}, who={})
    status, answer = await server.api("POST", "login", {"user": "owner", "password": PASSWORD}, who={})
    assert (status, answer["error"]) == (401, "error-login-blocked-for-user")
    assert answer["message"].startswith("Too many failed logins with this name from your address. Try again in ")
    assert (await server.get("me"))["username"] == "owner"


async def test_all_addresses_of_an_ipv6_network_fail_together(tmp_path: Path) -> None:
    """Whoever has a /64 of their own gets no fresh tries with each of its 2**64 addresses."""
    async with serving(tmp_path / "data", trusted_proxies="127.0.0.0/8") as server:
        for number in range(5):
            away = {"X-Forwarded-For": f"2001:db8:1:2::{number}"}
            await server.api("POST", "login", {"user": "owner", "password": "not the password"}, who=away)
        for address, error in (
            ("2001:db8:1:2:ffff::1", "error-login-blocked-for-user"),
            ("2001:db8:1:3::1", "Unauthorized"),
        ):
            wrong = {"user": "owner", "password": "not the password"}
            status, answer = await server.api("POST", "login", wrong, who={"X-Forwarded-For": address})
            assert (status, answer["error"]) == (401, error)


@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_logout_needs_no_body_and_ends_the_session(server: Server, method: str) -> None:
    """A logout with neither body nor content type works, and its token is worth nothing afterwards."""
    who = await server.login("owner")
    async with server.http.request(
        method, f"{server.url}/api/v1/logout", headers=who, skip_auto_headers=["Content-Type"]
    ) as response:
        answer = await response.json()
    assert answer == {"status": "success", "data": {"message": "You've been logged out!"}}
    assert await server.api("GET", "me", who=who) == (401, LOGIN_NEEDED)
    assert (await server.get("me"))["username"] == "owner"


async def test_both_headers_are_needed_and_must_belong_together(server: Server) -> None:
    """A token counts only beside the id of its own user (§2)."""
    ann = await server.user("ann")
    for who in (
        {},
        {"X-Auth-Token": ann["X-Auth-Token"]},
        {"X-User-Id": ann["X-User-Id"]},
        {**ann, "X-User-Id": server.owner["X-User-Id"]},
    ):
        assert await server.api("GET", "me", who=who) == (401, LOGIN_NEEDED)


@pytest.mark.parametrize("path", ["/api/info", "/api/v1/info"])
async def test_info_needs_no_login(server: Server, path: str) -> None:
    """Clients ask for the version before they log in, old ones below /api/v1 (decision 19)."""
    async with server.http.get(f"{server.url}{path}") as response:
        answer: Any = await response.json()
    assert answer == {"version": "7.10.0", "success": True}
