"""Slash commands over REST: `commands.*`, with the texts of `rocketchat.md` §11 (decision 57)."""

from collections.abc import Mapping

from bot.api.rocketchat.calls import ApiRequest, Call, Reply, get, listing, post
from bot.api.rocketchat.shapes import list_params, listed
from bot.flows.room_door import SLASH_COMMANDS, SlashCommand
from bot.lists import chosen, in_order
from bot.services import Services
from handlers.errors import Fault
from handlers.rocketchat.views import JsonObject
from storage.records.room import Room

NO_COMMAND_NAMED = Fault('The query param "command" must be provided.')
UNKNOWN = Fault("The command provided does not exist (or is disabled).")
PARAMS_NO_TEXT = Fault("The parameters for the command must be a single string.")
THREAD_NO_TEXT = Fault("The tmid parameter when provided must be a string.")
TRIGGER_NO_TEXT = Fault("The triggerId parameter when provided must be a string.")

RUN_NEEDS_COMMAND = Fault("You must provide a command to run.")
RUN_NEEDS_ROOM = Fault("The room's id where to execute this command must be provided and be a string.")
PREVIEW_NEEDS_COMMAND = Fault("You must provide a command to get the previews from.")
PREVIEW_NEEDS_ROOM = Fault("The room's id where the previews are being displayed must be provided and be a string.")
ITEM_NEEDS_COMMAND = Fault("You must provide a command to run the preview item on.")
ITEM_NEEDS_ROOM = Fault("The room's id where the preview is being executed in must be provided and be a string.")
ITEM_MISSING = Fault("The preview item being executed must be provided.")
ITEM_MALFORMED = Fault("The preview item being executed is in the wrong format.")

PREVIEW_TITLE = "Commands"
_PATHS = frozenset({"command", "params", "description", "clientOnly", "providesPreview"})


async def list_commands(_: Services, request: ApiRequest) -> Reply:
    """List the slash commands in the order they are declared."""
    params = list_params(request, _PATHS)
    if isinstance(params, Fault):
        return params
    shown, total = await chosen(in_order((each, each) for each in map(_shown, SLASH_COMMANDS)), params)
    return await listed("commands", in_order(shown), params, total)


async def get_command(services: Services, request: ApiRequest) -> Reply:
    """Show one slash command."""
    name = request.params.get("command")
    if not isinstance(name, str):
        return NO_COMMAND_NAMED
    command = services.commands.find(name)
    if command is None:
        return Fault(f"There is no command in the system by the name of: {name}")
    return {"command": _shown(command)}


async def run(services: Services, request: ApiRequest) -> Reply:
    """Run a line and answer with its text."""
    fault = _fault(request.params, RUN_NEEDS_COMMAND, RUN_NEEDS_ROOM)
    target = fault or await _target(services, request)
    if isinstance(target, Fault):
        return target
    command, room = target
    result = await services.commands.run(
        request.user,
        room,
        command,
        request.text("params") or "",
        thread_id=request.text("tmid"),
        request_id=request.text("triggerId"),
    )
    return {"result": result}


async def preview(services: Services, request: ApiRequest) -> Reply:
    """Offer ways to go on with a half-typed line."""
    fault = _fault(request.params, PREVIEW_NEEDS_COMMAND, PREVIEW_NEEDS_ROOM)
    target = fault or await _target(services, request)
    if isinstance(target, Fault):
        return target
    command, room = target
    lines = await services.commands.preview(request.user, room, command, request.text("params") or "")
    items = [{"id": str(number), "type": "text", "value": line} for number, line in enumerate(lines, 1)]
    return {"preview": {"i18nTitle": PREVIEW_TITLE, "items": items}}


async def run_preview(services: Services, request: ApiRequest) -> Reply:
    """Run the line a preview item holds."""
    fault = _fault(request.params, ITEM_NEEDS_COMMAND, ITEM_NEEDS_ROOM)
    item = fault or _item(request.params.get("previewItem"))
    if isinstance(item, Fault):
        return item
    target = await _target(services, request)
    if isinstance(target, Fault):
        return target
    command, room = target
    await services.commands.run(request.user, room, command, item, thread_id=request.text("tmid"))
    return {}


def _fault(params: Mapping[str, object], needs_command: Fault, needs_room: Fault) -> Fault | None:
    """Return the first parameter that is not a text, in the contract's order."""
    if not isinstance(params.get("command"), str):
        return needs_command
    if not isinstance(params.get("params") or "", str):
        return PARAMS_NO_TEXT
    if not isinstance(params.get("roomId"), str):
        return needs_room
    if not isinstance(params.get("tmid") or "", str):
        return THREAD_NO_TEXT
    if not isinstance(params.get("triggerId") or "", str):
        return TRIGGER_NO_TEXT
    return None


async def _target(services: Services, request: ApiRequest) -> tuple[SlashCommand, Room] | Fault:
    command = services.commands.find(str(request.params["command"]))
    if command is None:
        return UNKNOWN
    room = await services.commands.place(request.user, str(request.params["roomId"]), request.text("tmid"))
    return room if isinstance(room, Fault) else (command, room)


def _item(given: object) -> str | Fault:
    """Return the line of a preview item."""
    if not given:
        return ITEM_MISSING
    if not isinstance(given, Mapping) or not given.get("id") or given.get("type") != "text":
        return ITEM_MALFORMED
    value = given.get("value")
    return value if isinstance(value, str) else ITEM_MALFORMED


def _shown(command: SlashCommand) -> JsonObject:
    return {
        "command": command.command,
        "params": command.params,
        "description": command.description,
        "clientOnly": False,
        "providesPreview": True,
    }


CALLS: tuple[Call, ...] = (
    listing("commands.list", list_commands),
    get("commands.get", get_command),
    post("commands.run", run),
    get("commands.preview", preview),
    post("commands.preview", run_preview),
)
