"""`rooms.*`: rooms of every kind, and sending files into them (decisions 49, 52)."""

from collections.abc import Mapping

from bot.api.rocketchat.calls import ApiRequest, Reply, get, listing, post
from bot.api.rocketchat.shapes import message_json, moment, room_of, rooms_of
from bot.lists import Listed, encoded
from bot.services import Services
from bot.web.multipart import BadForm, Form, TextPart
from bot.workspace.uploads import NO_FILE, Caption, link
from handlers.errors import UNAUTHORIZED, Fault
from storage.ids import RoomId
from storage.records.message import Message
from storage.records.room import Room
from storage.records.upload import Upload

INVALID_FIELD = Fault(code="invalid-field")


async def list_mine(services: Services, request: ApiRequest) -> Reply:
    """Return the caller's rooms; with `updatedSince` only those something happened in since."""
    since = moment(request, "updatedSince")
    if isinstance(since, Fault):
        return since
    pieces, cut = await encoded(rooms_of(services, request.user, since))
    return Listed("update", pieces, {"remove": [], **({"truncated": True} if cut else {})})


async def info(services: Services, request: ApiRequest) -> Reply:
    """Show one room of any kind."""
    room = await room_of(services, request)
    return room if isinstance(room, Fault) else {"room": await services.fanout.room_json(room)}


async def upload(services: Services, request: ApiRequest) -> Reply:
    """Send a file and post its message at once."""
    received = await _receive(services, request)
    if isinstance(received, Fault):
        return received
    file, fields = received
    message = await services.uploads.show(request.user, file, _caption(fields))
    if isinstance(message, Fault):
        await services.uploads.discard(file)
    return await _answer(services, message)


async def media(services: Services, request: ApiRequest) -> Reply:
    """Send a file; `rooms.mediaConfirm` posts its message."""
    received = await _receive(services, request)
    if isinstance(received, Fault):
        return received
    file, _ = received
    return {"file": {"_id": file.id, "url": link(file)}}


async def media_confirm(services: Services, request: ApiRequest) -> Reply:
    """Post the message of a file sent before."""
    room = await _room(services, request)
    if isinstance(room, Fault):
        return room
    file_id, name = request.http.match_info["fileId"], request.text("fileName")
    message = await services.uploads.confirm(request.user, room, file_id, _caption(request.params), name=name)
    return await _answer(services, message)


def _caption(fields: Mapping[str, object]) -> Caption:
    text, description, thread_id = (fields.get(name) for name in ("msg", "description", "tmid"))
    return Caption(
        text=text if isinstance(text, str) else "",
        description=description if isinstance(description, str) else "",
        thread_id=thread_id if isinstance(thread_id, str) and thread_id else None,
    )


async def _room(services: Services, request: ApiRequest) -> Room | Fault:
    """Find the room of the address; one the caller may not enter is refused like one that is not there."""
    room = await services.directory.room(RoomId(request.http.match_info["rid"]))
    if room is None or not await services.posting.may_enter(room, request.user):
        return UNAUTHORIZED
    return room


async def _receive(services: Services, request: ApiRequest) -> tuple[Upload, dict[str, str]] | Fault:
    """Store the form's file and return it with the form's fields; nothing stays when the form is refused."""
    room = await _room(services, request)
    if isinstance(room, Fault):
        return room
    file: Upload | None = None
    fields: dict[str, str] = {}
    fault = NO_FILE
    try:
        async for part in Form(request.http).parts():
            if isinstance(part, TextPart):
                fields[part.name] = part.text
                continue
            if part.name != "file" or file is not None:
                raise BadForm(INVALID_FIELD)
            expected = request.http.content_length
            stored = await services.uploads.receive(request.user, room, part.filename, part.chunks, expected=expected)
            if isinstance(stored, Fault):
                return stored
            file = stored
        if file is not None:
            return file, fields
    except BadForm as error:
        fault = error.fault
    if file is not None:
        await services.uploads.discard(file)
    return fault


async def _answer(services: Services, message: Message | Fault) -> Reply:
    return message if isinstance(message, Fault) else {"message": await message_json(services, message)}


CALLS = (
    listing("rooms.get", list_mine),
    get("rooms.info", info),
    post("rooms.upload/{rid}", upload, reads_body=True),
    post("rooms.media/{rid}", media, reads_body=True),
    post("rooms.mediaConfirm/{rid}/{fileId}", media_confirm),
)
