"""Managing webhooks: `integrations.*`, in the contract's order of checks (`rocketchat.md` §4, §8 and §12)."""

from collections.abc import AsyncIterable, AsyncIterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from bot.api.rocketchat.calls import ApiRequest, Call, Reply, get, listing, post, put
from bot.api.rocketchat.shapes import list_params, listed
from bot.lists import Listed, chosen, in_order
from bot.services import Services
from handlers.errors import NOT_PERMITTED, Fault
from handlers.permissions import MANAGE_OUTGOING, MANAGE_OWN_OUTGOING, permissions
from handlers.rocketchat.query import Item, ListParams
from handlers.rocketchat.schemas import SCHEMAS
from handlers.rocketchat.views import integration_view
from storage.ids import IntegrationId
from storage.records.integration import Hook, HookField, WantedHooks

INVALID_ID = Fault("Invalid integration id.")

_ACTORS = ("_createdBy", "_updatedBy")
_HOOK_PATHS = frozenset(
    {
        *("_id", "type", "name", "enabled", "username", "userId", "channel", "alias", "avatar", "emoji"),
        *("overrideDestinationChannelEnabled", "scriptEnabled", "scriptEngine", "_createdAt", "_updatedAt"),
        *("event", "targetRoom", "triggerWords", "triggerWordAnywhere", "runOnEdits", "impersonateUser"),
        *("retryFailedCalls", "retryCount", "retryDelay"),
        *(f"{actor}.{key}" for actor in _ACTORS for key in ("_id", "username")),
    }
)
"""What a list may be filtered and sorted by: not token, addresses or script, which may hold secrets (decision 53)."""

_HISTORY_PATHS = frozenset(
    {
        *("_id", "type", "step", "event", "_createdAt", "_updatedAt", "triggerWord", "finished", "error"),
        *("integration._id", "integration.name"),
        *(f"data.{key}" for key in ("channel_id", "channel_name", "message_id", "user_id", "user_name")),
    }
)
_BY_CHANGE = "_updatedAt"

_IN_STORE: Final = MappingProxyType(
    {
        "_id": HookField.ID,
        "name": HookField.NAME,
        "type": HookField.DIRECTION,
        "enabled": HookField.ENABLED,
        "userId": HookField.USER,
        "_createdBy._id": HookField.MAKER,
        "_createdAt": HookField.MADE,
        _BY_CHANGE: HookField.CHANGED,
    }
)
"""What the store can sort and filter by; for all else every hook is looked at, a few at a time."""
_TIMES: Final = frozenset({HookField.MADE, HookField.CHANGED})
LOOKED_THROUGH: Final = 50
"""Hooks read at once where all of them are looked through."""


async def create(services: Services, request: ApiRequest) -> Reply:
    """Make a webhook (§4.1); its answer is the record as it was inserted, without a time of change."""
    made = await services.hooks.create(request.user, request.params)
    if isinstance(made, Fault):
        return made
    return {"integration": {key: value for key, value in integration_view(made).items() if key != _BY_CHANGE}}


async def list_integrations(services: Services, request: ApiRequest) -> Reply:
    """List the webhooks the caller may see, narrowed by `name` and `type` (§4.2)."""
    if not services.hooks.may_see_any(request.user):
        return NOT_PERMITTED
    params = list_params(request, _HOOK_PATHS)
    if isinstance(params, Fault):
        return params
    equal, all_of_it = narrowed(params.query)
    if kind := request.text("type"):
        equal = [*equal, (HookField.DIRECTION, kind)]
    wanted = replace(services.hooks.seen(request.user), part=request.text("name"), equal=tuple(equal))
    if all_of_it and all(path in _IN_STORE for path, _ in params.sort):
        order = tuple((_IN_STORE[path], way) for path, way in params.sort) or wanted.order
        hooks, total = await services.store.hook_page(
            replace(wanted, order=order), offset=params.offset, count=params.count
        )
    else:
        ids, total = await chosen(_outlined(services, wanted), params)
        hooks = await services.store.hooks_of(ids)
    return await _listed("integrations", in_order(map(integration_view, hooks)), params, total)


def narrowed(query: Mapping[str, object]) -> tuple[Sequence[tuple[HookField, str | bool]], bool]:
    """Return the conditions of a filter the store can judge, and whether they are all of it.

    Only such are taken as everything else of the filter has to hold beside them.
    """
    equal, all_of_it = list[tuple[HookField, str | bool]](), True
    for path, value in query.items():
        field = _IN_STORE.get(path)
        kind = bool if field is HookField.ENABLED else str
        if field in _TIMES or field is None or not isinstance(value, kind):
            all_of_it = False
        else:
            equal.append((field, value))
    return equal, all_of_it


async def _outlined(services: Services, wanted: WantedHooks) -> AsyncIterator[tuple[IntegrationId, Item]]:
    """Bring the id and the view of every hook, its secrets left out: nobody filters or sorts by those."""
    ids = await services.store.hook_ids(wanted)
    for start in range(0, len(ids), LOOKED_THROUGH):
        for hook in await services.store.bare_hooks(ids[start : start + LOOKED_THROUGH]):
            yield hook.id, integration_view(hook)


async def get_integration(services: Services, request: ApiRequest) -> Reply:
    """Show one webhook (§4.3)."""
    hook_id = str(request.params["integrationId"])
    return _one(await services.hooks.get(request.user, hook_id, request.text("createdBy")))


async def update(services: Services, request: ApiRequest) -> Reply:
    """Change a webhook (§4.4)."""
    return _one(await services.hooks.update(request.user, request.params))


async def remove(services: Services, request: ApiRequest) -> Reply:
    """Remove a webhook and show it as it was (§4.5)."""
    if not services.hooks.may_see_any(request.user):
        return NOT_PERMITTED
    return _one(await services.hooks.remove(request.user, request.params))


async def history(services: Services, request: ApiRequest) -> Reply:
    """List what an outgoing webhook did, last change first (§4.6)."""
    held = permissions(request.user)
    if not held & {MANAGE_OUTGOING, MANAGE_OWN_OUTGOING}:
        return NOT_PERMITTED
    hook_id = IntegrationId(str(request.params["id"]))
    if not hook_id.strip():
        return INVALID_ID
    params = list_params(request, _HISTORY_PATHS)
    if isinstance(params, Fault):
        return params
    hook = await services.directory.hook(hook_id)
    may_read = MANAGE_OUTGOING in held or (hook is not None and hook.created_by[0] == request.user.id)
    hook_ids = [hook_id] if hook is not None and may_read else []
    filtered = request.text("query") is not None or params.sort not in ((), ((_BY_CHANGE, 1),), ((_BY_CHANGE, -1),))
    if filtered:
        newest = services.replay.entries(request.user, await services.replay.newest(hook_ids))
        attempts, total = await chosen(newest, params)
    else:
        attempts, total = await services.replay.page(
            hook_ids, offset=params.offset, count=params.count, ascending=params.sort == ((_BY_CHANGE, 1),)
        )
    entries = (entry async for _, entry in services.replay.entries(request.user, attempts))
    return await _listed("history", entries, params, total)


async def clear_history(services: Services, request: ApiRequest) -> Reply:
    """Forget the history of a webhook (§12)."""
    return await services.replay.clear(request.user, str(request.params["integrationId"])) or {}


async def replay_outgoing(services: Services, request: ApiRequest) -> Reply:
    """Run an entry of the history again (§8)."""
    hook_id, entry_id = str(request.params["integrationId"]), str(request.params["historyId"])
    return await services.replay.replay(request.user, hook_id, entry_id) or {}


def _one(hook: Hook | Fault) -> Reply:
    return hook if isinstance(hook, Fault) else {"integration": integration_view(hook)}


async def _listed(key: str, items: AsyncIterable[Item], params: ListParams, total: int) -> Listed:
    """Answer with one page as these calls do: its length stands twice (§4.2, §4.6)."""
    found = await listed(key, items, params, total)
    return replace(found, more={"offset": params.offset, "items": len(found.pieces), **found.more})


CALLS: tuple[Call, ...] = (
    post("integrations.create", create, schema=SCHEMAS["integrations.create"]),
    listing("integrations.list", list_integrations, schema=SCHEMAS["integrations.list"]),
    get("integrations.get", get_integration, schema=SCHEMAS["integrations.get"]),
    put("integrations.update", update, schema=SCHEMAS["integrations.update"]),
    post("integrations.remove", remove, schema=SCHEMAS["integrations.remove"]),
    listing("integrations.history", history, schema=SCHEMAS["integrations.history"]),
    post("integrations.clearHistory", clear_history, schema=SCHEMAS["integrations.clearHistory"]),
    post("integrations.replayOutgoing", replay_outgoing, schema=SCHEMAS["integrations.replayOutgoing"]),
)
