"""Who calls, from login to logout, and what server this is (`rocketchat.md` §2)."""

from aiohttp import web

from bot.api.rocketchat.calls import ApiRequest, Call, Reply, get, post
from bot.services import Services
from bot.web.answers import answer, success
from bot.workspace.credentials import LoginFailure, read_credentials
from handlers.rocketchat.views import JsonObject, wire_roles
from storage.records.user import User

VERSION = "7.10.0"
"""The version of Rocket.Chat whose contract this server keeps (decision 19)."""


def me_json(user: User, base_url: str) -> JsonObject:
    """Show users themselves, as `login` and `me` do (§2)."""
    return {
        "_id": user.id,
        "username": user.username,
        "name": user.name,
        "roles": wire_roles(user),
        "emails": [{"address": address, "verified": True} for address in user.emails],
        "settings": {"profile": {}, "preferences": {}},
        "avatarUrl": f"{base_url}/avatar/{user.username}",
    }


async def info(_: web.Request) -> web.StreamResponse:
    """Answer `GET /api/info`, the one call outside of `/api/v1` (§2)."""
    return success({"version": VERSION})


async def version(_: Services, __: ApiRequest) -> Reply:
    """Say which version this is, to old clients that look below `/api/v1`."""
    return {"version": VERSION}


async def login(services: Services, request: ApiRequest) -> Reply:
    """Begin a session, with any of the credentials of §2; every failure is a 401."""
    credentials = read_credentials(request.params)
    if isinstance(credentials, LoginFailure):
        return _failed(credentials)
    session = await services.accounts.login(credentials, request.address)
    if isinstance(session, LoginFailure):
        return _failed(session)
    data = {"userId": session.user.id, "authToken": session.token, "me": me_json(session.user, services.base_url)}
    return answer({"status": "success", "data": data})


async def logout(services: Services, request: ApiRequest) -> Reply:
    """End the session of the call; a personal token stays (decision 50)."""
    await services.accounts.logout(request.token)
    return answer({"status": "success", "data": {"message": "You've been logged out!"}})


async def me(services: Services, request: ApiRequest) -> Reply:
    """Show the caller."""
    return me_json(request.user, services.base_url)


def _failed(failure: LoginFailure) -> web.Response:
    return answer({"status": "error", "error": failure.error, "message": failure.message}, 401)


CALLS: tuple[Call, ...] = (
    post("login", login, login=False),
    post("logout", logout),
    get("logout", logout),
    get("me", me),
    get("info", version, login=False),
)
