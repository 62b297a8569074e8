"""Managing webhooks: `integrations.*`, in the contract's order of checks (`rocketchat.md` §4, §8 and §12)."""

from collections.abc import Sequence

from bot.api.rocketchat.calls import ApiRequest, Call, Reply, get, post, put
from bot.api.rocketchat.shapes import list_params
from bot.services import Services
from handlers.errors import NOT_PERMITTED, Fault
from handlers.permissions import MANAGE_OUTGOING, MANAGE_OWN_OUTGOING, permissions
from handlers.rocketchat.query import Item, ListParams, page
from handlers.rocketchat.schemas import SCHEMAS
from handlers.rocketchat.views import JsonObject, integration_view
from storage.ids import IntegrationId
from storage.records.integration import Hook

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
    name, kind = (request.text("name") or "").casefold(), request.text("type")
    items = [
        integration_view(hook) for hook in await services.hooks.visible(request.user) if name in hook.name.casefold()
    ]
    shown, total = page((item for item in items if kind in (None, item["type"])), params)
    return _listed("integrations", shown, params, total)


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
        shown, total = page(await services.replay.entries(request.user, hook_ids), params)
        return _listed("history", shown, params, total)
    entries, total = await services.replay.page(
        request.user, hook_ids, offset=params.offset, count=params.count, ascending=params.sort == ((_BY_CHANGE, 1),)
    )
    return _listed("history", entries, params, total)


async def clear_history(services: Services, request: ApiRequest) -> Reply:
    """Forget the history of a webhook (§12)."""
    return await services.replay.clear(request.user, str(request.params["integrationId"])) or {}


async def replay_outgoing(services: Services, request: ApiRequest) -> Reply:
    """Run an entry of the history again (§8)."""
    hook_id, entry_id = str(request.params["integrationId"]), str(request.params["historyId"])
    return await services.replay.replay(request.user, hook_id, entry_id) or {}


def _one(hook: Hook | Fault) -> Reply:
    return hook if isinstance(hook, Fault) else {"integration": integration_view(hook)}


def _listed(key: str, items: Sequence[Item], params: ListParams, total: int) -> JsonObject:
    """Wrap one page as these calls do: the length of the page stands twice (§4.2, §4.6)."""
    return {key: items, "offset": params.offset, "items": len(items), "count": len(items), "total": total}


CALLS: tuple[Call, ...] = (
    post("integrations.create", create, schema=SCHEMAS["integrations.create"]),
    get("integrations.list", list_integrations, schema=SCHEMAS["integrations.list"]),
    get("integrations.get", get_integration, schema=SCHEMAS["integrations.get"]),
    put("integrations.update", update, schema=SCHEMAS["integrations.update"]),
    post("integrations.remove", remove, schema=SCHEMAS["integrations.remove"]),
    get("integrations.history", history, schema=SCHEMAS["integrations.history"]),
    post("integrations.clearHistory", clear_history, schema=SCHEMAS["integrations.clearHistory"]),
    post("integrations.replayOutgoing", replay_outgoing, schema=SCHEMAS["integrations.replayOutgoing"]),
)
