"""People and their personal access tokens: `users.*` (decisions 20, 24, 49 and 50)."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from bot.api.rocketchat import shapes
from bot.api.rocketchat.calls import ApiRequest, Call, Reply, get, listing, post, texts
from bot.api.rocketchat.shapes import hook_reference, stopped_json
from bot.lists import Listed, encoded, in_order
from bot.services import Services
from bot.workspace.user_fields import Roles, read_roles
from bot.workspace.users import Changed, NewUser, UserUpdate
from handlers.errors import Fault
from handlers.match import wrong_type
from handlers.rocketchat.validation import INVALID_PARAMS, Branch, Field, Schema
from handlers.rocketchat.views import JsonObject, user_fields_for, user_view_for
from storage.clock import iso
from storage.ids import UserId
from storage.records.user import Role, User

USER_NEEDED = Fault('The required "userId" or "username" param was not provided', "error-user-param-not-provided")
NOT_FOUND = Fault("User not found.")
FIXED_USERNAME = Fault("A user name cannot be changed", "error-action-not-allowed")


async def create(services: Services, request: ApiRequest) -> Reply:
    """Make a user; `roles` are Rocket.Chat's names or ours."""
    roles = _roles(request.params, None)
    if isinstance(roles, Fault):
        return roles
    new = NewUser(
        username=str(request.params["username"]),
        name=str(request.params["name"]),
        password=str(request.params["password"]),
        email=str(request.params["email"]),
        role=roles.role if roles else Role.VIEWER,
        is_bot=roles.is_bot if roles else False,
    )
    made = await services.users.create(request.user, new)
    if isinstance(made, Fault):
        return made
    return await _with_activity(services, request, made, request.flag("active"))


async def info(services: Services, request: ApiRequest) -> Reply:
    """Show one user, by `userId` or `username`."""
    user_id, username = request.text("userId"), request.text("username")
    if user_id is None and username is None:
        return USER_NEEDED
    directory = services.directory
    user = await (directory.user(UserId(user_id)) if user_id else directory.user_named(username or ""))
    if user is None:
        return NOT_FOUND
    return {"user": user_view_for(request.user, user)}


async def list_users(services: Services, request: ApiRequest) -> Reply:
    """List users; who is no admin may not filter by what they are not shown either."""
    caller = request.user
    params = shapes.list_params(request, user_fields_for(caller))
    if isinstance(params, Fault):
        return params
    read = partial(services.store.user_page, services.directory.org)
    return await shapes.list_users(read, partial(user_view_for, caller), params, "users")


async def update(services: Services, request: ApiRequest) -> Reply:
    """Change what `data` holds of a user: `name`, `email`, `password`, `roles` and `active`."""
    user_id, data = UserId(str(request.params["userId"])), request.params["data"]
    if not isinstance(data, Mapping):
        return Fault("must be object", INVALID_PARAMS)
    for key in ("name", "email", "password", "username"):
        if not isinstance(data.get(key, ""), str):
            return Fault(wrong_type(data[key], "string", key))
    if not isinstance(data.get("active", False), bool):
        return Fault(wrong_type(data["active"], "boolean", "active"))
    current = await services.directory.user(user_id)
    if current is not None and data.get("username", current.username) != current.username:
        return FIXED_USERNAME
    roles = _roles(data, current)
    if isinstance(roles, Fault):
        return roles
    changes = UserUpdate(
        name=data.get("name"),
        email=data.get("email"),
        password=data.get("password"),
        role=roles.role if roles else None,
        is_bot=roles.is_bot if roles else None,
    )
    changed = await services.users.update(request.user, user_id, changes)
    if isinstance(changed, Fault):
        return changed
    return await _with_activity(services, request, changed.user, data.get("active"), changed)


async def set_active_status(services: Services, request: ApiRequest) -> Reply:
    """Activate or deactivate a user; the answer names the hooks this disabled or stopped (decision 24)."""
    active = request.flag("activeStatus")  # also the text a form holds
    if active is None:
        return Fault(wrong_type(request.params["activeStatus"], "boolean", "activeStatus"))
    done = await services.users.set_active(request.user, UserId(str(request.params["userId"])), active=active)
    if isinstance(done, Fault):
        return done
    return {"user": {"_id": done.user.id, "active": done.user.active}, **_hooks(done)}


async def generate_token(services: Services, request: ApiRequest) -> Reply:
    """Make a personal access token, shown this once."""
    token = await services.accounts.generate(request.user, request.text("tokenName") or "")
    return token if isinstance(token, Fault) else {"token": token}


async def regenerate_token(services: Services, request: ApiRequest) -> Reply:
    """Replace a personal access token, shown this once."""
    token = await services.accounts.regenerate(request.user, request.text("tokenName") or "")
    return token if isinstance(token, Fault) else {"token": token}


async def list_tokens(services: Services, request: ApiRequest) -> Reply:
    """List one's own personal access tokens by name and last characters."""
    shown = (
        {
            "name": token.name,
            "createdAt": iso(token.created_at),
            "lastTokenPart": token.last_part,
            "bypassTwoFactor": False,
        }
        for token in await services.accounts.personal_tokens(request.user)
    )
    pieces, cut = await encoded(in_order(shown))
    return Listed("tokens", pieces, {"truncated": True} if cut else {})


async def remove_token(services: Services, request: ApiRequest) -> Reply:
    """Remove a personal access token."""
    return await services.accounts.remove(request.user, request.text("tokenName") or "") or {}


def _roles(given: Mapping[str, object], current: User | None) -> Roles | Fault | None:
    """Read the roles a body names under `roles`, or under `role` as older clients do."""
    key = "roles" if given.get("roles") is not None else "role"
    value = given.get(key)
    if value is None:
        return None
    names = texts(value)
    if isinstance(value, str) or (isinstance(value, list) and len(names) == len(value)):
        return read_roles(names, current)
    return Fault(wrong_type(value, "array of strings", key))


async def _with_activity(
    services: Services, request: ApiRequest, user: User, active: bool | None, changed: Changed | None = None
) -> Reply:
    """Answer with a user after switching them on or off, where the body asks for that."""
    before = changed or Changed(user)
    if active is None or active == user.active:
        return {"user": user_view_for(request.user, user), **_hooks(before)}
    done = await services.users.set_active(request.user, user.id, active=active)
    if isinstance(done, Fault):
        return done
    both = {one.hook.id: one for one in (*before.stopped, *done.stopped)}
    return {"user": user_view_for(request.user, done.user), **_hooks(replace(done, stopped=tuple(both.values())))}


def _hooks(changed: Changed) -> JsonObject:
    """Name the webhooks a change of a user switched off, and those that work no longer or not everywhere."""
    disabled = [hook_reference(hook) for hook in changed.disabled]
    return {**({"disabledIntegrations": disabled} if disabled else {}), **stopped_json(changed.stopped)}


def _schema(*fields: Field, required: tuple[str, ...]) -> Schema:
    return (Branch(fields, required=required, closed=False),)


_CREATE = _schema(
    *(Field(name) for name in ("email", "name", "password", "username")),
    required=("email", "name", "password", "username"),
)
_ACTIVE = _schema(Field("userId"), required=("userId", "activeStatus"))

CALLS: tuple[Call, ...] = (
    post("users.create", create, schema=_CREATE),
    get("users.info", info),
    listing("users.list", list_users),
    post("users.update", update, schema=_schema(Field("userId"), required=("userId", "data"))),
    post("users.setActiveStatus", set_active_status, schema=_ACTIVE),
    post("users.generatePersonalAccessToken", generate_token),
    post("users.regeneratePersonalAccessToken", regenerate_token),
    listing("users.getPersonalAccessTokens", list_tokens),
    post("users.removePersonalAccessToken", remove_token),
)
