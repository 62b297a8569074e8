"""Files into rooms and out again (decision 52), against a running server."""

import asyncio
from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from rocketchat_API.rocketchat import RocketChat

from bot.web.files import content_disposition
from bot.workspace.uploads import safe_name, sniff
from storage.clock import Millis
from storage.ids import EventSeq, UserId
from storage.records.changes import Changes
from storage.records.event import EventKind
from tests.delivering import receiving, until
from tests.server import Server, serving

PNG = b"\x89PNG\r\n\x1a\n" + bytes(64)


def form(content: bytes, name: str = "shot.png", part: str = "file", **fields: str) -> aiohttp.FormData:
    """Return a form with one file and some fields."""
    data = aiohttp.FormData()
    data.add_field(part, BytesIO(content), filename=name, content_type="text/html")
    for key, value in fields.items():
        data.add_field(key, value)
    return data


async def send(
    server: Server, call: str, data: object, who: dict[str, str] | None = None, headers: dict[str, str] | None = None
) -> tuple[int, Any]:
    """Send a form; returns status and answer."""
    async with server.http.post(
        f"{server.url}/api/v1/{call}", data=data, headers={**(who or server.owner), **(headers or {})}
    ) as response:
        return response.status, await response.json()


async def fetch(server: Server, path: str, who: dict[str, str] | None = None) -> tuple[int, Any, bytes]:
    """Get a file; returns status, headers and bytes."""
    async with server.http.get(server.url + path, headers=server.owner if who is None else who) as response:
        return response.status, response.headers, await response.read()


async def used_by_owner(server: Server) -> int:
    """Return how much of the owner's quota is taken."""
    return await server.services.store.uploaded_bytes(UserId(server.owner["X-User-Id"]))


def files_of(server: Server) -> list[Path]:
    """Return what lies in the folder of uploads."""
    return sorted((server.services.folder / "uploads").iterdir())


async def test_an_image_is_shown_in_its_room(server: Server) -> None:
    """One call stores the file, posts its message, and tells the hooks of both events."""
    before = server.services.stream.last
    status, answer = await send(server, "rooms.upload/GENERAL", form(PNG, msg="look", description="the screen"))
    assert status == 200, answer
    message = answer["message"]
    file_id = message["file"]["_id"]
    link = f"/file-upload/{file_id}/shot.png"
    assert message["msg"] == "look"
    assert message["file"] == {"_id": file_id, "name": "shot.png", "type": "image/png", "size": len(PNG)}
    assert message["attachments"] == [
        {
            "title": "shot.png",
            "type": "file",
            "title_link": link,
            "title_link_download": True,
            "description": "the screen",
            "image_url": link,
            "image_type": "image/png",
            "image_size": len(PNG),
        }
    ]
    events = await server.services.store.events_after(EventSeq(before))
    assert [event.kind for event in events] == [EventKind.MESSAGE_POSTED, EventKind.FILE_UPLOADED]
    assert all(event.body["message"]["file"]["_id"] == file_id for event in events)
    status, headers, content = await fetch(server, link)
    assert (status, content) == (200, PNG)
    assert headers["Content-Type"] == "image/png"
    assert headers["Content-Disposition"] == "inline; filename=\"shot.png\"; filename*=UTF-8''shot.png"
    assert (await server.room_messages())[0]["file"]["_id"] == file_id


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"<script>alert(1)</script>", "page.html"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "drawing.svg"),
        (b"GIF8", "short.gif"),
        (b"", "empty.txt"),
    ],
)
async def test_anything_but_an_image_is_only_saved(server: Server, content: bytes, name: str) -> None:
    """What is no image by its bytes comes as an unknown type, as attachment, without scripts or sniffing."""
    _, answer = await send(server, "rooms.upload/GENERAL", form(content, name))
    status, headers, read = await fetch(server, answer["message"]["attachments"][0]["title_link"])
    assert (status, read) == (200, content)
    assert headers["Content-Type"] == "application/octet-stream"
    assert headers["Content-Disposition"].startswith("attachment; ")
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Security-Policy"] == "sandbox; default-src 'none'"
    assert headers["Cache-Control"].startswith("private")


async def test_two_steps(server: Server) -> None:
    """A file sent with `rooms.media` is its sender's alone until `rooms.mediaConfirm` shows it, once."""
    ann = await server.user("ann")
    _, answer = await send(server, "rooms.media/GENERAL", form(PNG))
    file = answer["file"]
    assert answer == {"file": {"_id": file["_id"], "url": f"/file-upload/{file['_id']}/shot.png"}, "success": True}
    assert (await fetch(server, file["url"]))[0] == 200
    assert (await fetch(server, file["url"], ann))[0] == 404
    confirm = f"rooms.mediaConfirm/GENERAL/{file['_id']}"
    assert (await server.api("POST", confirm, {}, who=ann))[1]["error"] == "[invalid-file]"
    answer = await server.post(confirm, {"msg": "here", "fileName": "../plan.png"})
    assert (answer["message"]["msg"], answer["message"]["file"]["name"]) == ("here", "plan.png")
    assert (await fetch(server, file["url"], ann))[2] == PNG
    assert (await server.api("POST", confirm, {}))[1]["error"] == "[invalid-file]"


async def test_files_are_for_members_only(server: Server) -> None:
    """Without a login 401, for others 404; a token in the address is no login."""
    ann = await server.user("ann")
    room = (await server.post("groups.create", {"name": "secret"}))["group"]["_id"]
    _, answer = await send(server, f"rooms.upload/{room}", form(PNG))
    link = answer["message"]["attachments"][0]["image_url"]
    assert (await fetch(server, link, {}))[0] == 401
    token = f"?rc_token={server.owner['X-Auth-Token']}&rc_uid={server.owner['X-User-Id']}"
    assert (await fetch(server, link + token, {}))[0] == 401
    assert (await fetch(server, link, ann))[0] == 404
    assert (await fetch(server, "/file-upload/..%2F..%2Fpatchbay.key/x"))[0] == 404
    await server.post("groups.invite", {"roomId": room, "username": "ann"})
    assert (await fetch(server, link, ann))[0] == 200
    assert await send(server, f"rooms.upload/{room}", form(PNG), await server.user("bob")) == (
        403,
        {"success": False, "error": "unauthorized"},
    )


async def forms() -> AsyncIterator[bytes]:
    """A form that ends in the middle of its file."""
    yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nhalf of it'


@pytest.mark.parametrize(
    ("data", "headers", "status"),
    [
        pytest.param(lambda: b"{}", {"Content-Type": "application/json"}, 400, id="json"),
        pytest.param(lambda: b"", {"Content-Type": "multipart/form-data"}, 400, id="no boundary"),
        pytest.param(lambda: b"nothing", {"Content-Type": "multipart/form-data; boundary=x"}, 400, id="no part"),
        pytest.param(forms, {"Content-Type": "multipart/form-data; boundary=x"}, 400, id="ends early"),
        pytest.param(lambda: form(PNG, part="picture"), {}, 400, id="other part name"),
        pytest.param(lambda: form(PNG, tmid="nothing"), {}, 400, id="no such thread"),
        pytest.param(lambda: form(PNG, msg="x" * 40_001), {}, 400, id="text too long"),
        pytest.param(lambda: form(bytes(2_000_000)), {}, 413, id="file too large"),
    ],
)
async def test_a_refused_form_leaves_nothing_behind(
    tmp_path: Path, data: Any, headers: dict[str, str], status: int
) -> None:
    """Whatever is wrong with a form is refused with a text, and neither file, record nor message stays."""
    async with serving(tmp_path, max_upload_bytes=1_000_000) as server:
        before = len(await server.room_messages())
        answered, answer = await send(server, "rooms.upload/GENERAL", data(), headers=headers)
        assert (answered, answer["success"], bool(answer["error"])) == (status, False, True)
        assert files_of(server) == []
        assert len(await server.room_messages()) == before
        assert await used_by_owner(server) == 0


async def test_a_sender_who_leaves_leaves_nothing_behind(server: Server) -> None:
    """A connection that ends in the middle of a file takes the bytes and the record with it."""
    login = "".join(f"{name}: {value}\r\n" for name, value in server.owner.items())
    part = 'Content-Disposition: form-data; name="file"; filename="a"\r\n\r\n' + "x" * 200_000
    host, port = server.url.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        f"POST /api/v1/rooms.upload/GENERAL HTTP/1.1\r\nHost: {host}\r\n{login}Content-Length: 900000\r\n"
        f"Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\n{part}".encode()
    )
    await writer.drain()

    async def arriving() -> bool:
        return len(files_of(server)) == 1

    await until(arriving)
    writer.close()
    await writer.wait_closed()

    async def freed() -> bool:
        return await used_by_owner(server) == 0

    await until(freed)
    assert files_of(server) == []
    assert await server.room_messages() == []


async def test_a_file_is_confirmed_once(server: Server) -> None:
    """Of many confirmations at once one posts a message."""
    _, answer = await send(server, "rooms.media/GENERAL", form(PNG))
    confirm = f"rooms.mediaConfirm/GENERAL/{answer['file']['_id']}"
    before = len(await server.room_messages())
    statuses = [status for status, _ in await asyncio.gather(*(server.api("POST", confirm, {}) for _ in range(8)))]
    assert sorted(statuses) == [200] + [400] * 7
    assert len(await server.room_messages()) == before + 1


async def test_hooks_hear_of_files(server: Server) -> None:
    """A `fileUploaded` hook is called with the file's message, user and room (`rocketchat.md` §7)."""
    async with receiving() as receiver:
        await server.post(
            "integrations.create",
            {
                "type": "webhook-outgoing",
                "event": "fileUploaded",
                "name": "files",
                "enabled": True,
                "username": "rocket.cat",
                "channel": "#general",
                "urls": [receiver.url],
                "scriptEnabled": False,
            },
        )
        _, answer = await send(server, "rooms.upload/GENERAL", form(PNG, msg="look"))
        await receiver.called()
    body = receiver.bodies[0]
    assert (body["text"], body["channel_name"], body["user"]["username"]) == ("look", "general", "owner")
    assert body["message"]["file"] == answer["message"]["file"]
    assert body["message"]["attachments"] == answer["message"]["attachments"]


async def test_the_real_client_sends_files(server: Server) -> None:
    """`rocketchat-API` sends a file in two steps and sees it in the room."""
    client = RocketChat(
        user_id=server.owner["X-User-Id"], auth_token=server.owner["X-Auth-Token"], server_url=server.url
    )
    with client.session:
        sent = await asyncio.to_thread(client.rooms_media, "GENERAL", ("plan.png", PNG, "image/png"))
        shown = await asyncio.to_thread(client.rooms_media_confirm, "GENERAL", sent["file"]["_id"], msg="the plan")
    assert (shown["message"]["msg"], shown["message"]["file"]["name"]) == ("the plan", "plan.png")
    assert (await server.room_messages())[0]["_id"] == shown["message"]["_id"]


async def test_a_user_has_so_many_bytes(tmp_path: Path) -> None:
    """Files beyond a user's quota are refused; other users have their own."""
    async with serving(tmp_path, upload_quota_bytes=100_000) as server:
        both = await asyncio.gather(*(send(server, "rooms.upload/GENERAL", form(bytes(60_000))) for _ in range(2)))
        (_, _), (status, answer) = sorted(both, key=lambda one: one[0])
        assert (status, answer["errorType"]) == (400, "error-upload-quota-exceeded")
        ann = await server.user("ann")
        assert (await send(server, "rooms.upload/GENERAL", form(bytes(60_000)), ann))[0] == 200
        assert len(files_of(server)) == 2


async def test_files_nobody_confirms_go(server: Server) -> None:
    """Sweeping removes record and bytes of unconfirmed files sent before a moment, and no others."""
    _, shown = await send(server, "rooms.upload/GENERAL", form(PNG))
    _, waiting = await send(server, "rooms.media/GENERAL", form(PNG))
    now = server.services.clock.now()
    assert await server.services.uploads.purge_unconfirmed(Millis(now - 60_000)) == 0
    assert await server.services.uploads.purge_unconfirmed(Millis(now + 60_000)) == 1
    assert [file.name for file in files_of(server)] == [shown["message"]["file"]["_id"]]
    assert (await fetch(server, waiting["file"]["url"]))[0] == 404


async def test_bytes_without_a_record_go(server: Server) -> None:
    """Sweeping removes what a dropped record leaves on disk, and touches no foreign file."""
    _, answer = await send(server, "rooms.upload/GENERAL", form(PNG))
    message = answer["message"]
    (server.services.folder / "uploads" / "README").write_text("not ours")
    await server.services.store.commit(Changes(drop_uploads=(message["file"]["_id"],)))
    assert (await fetch(server, message["attachments"][0]["title_link"]))[0] == 404
    assert await server.services.uploads.purge_unconfirmed(Millis(0)) == 1
    assert [file.name for file in files_of(server)] == ["README"]


async def test_posting_rules_hold_for_files(server: Server) -> None:
    """An archived room takes no file, and the bytes sent for it do not stay."""
    room = (await server.post("channels.create", {"name": "old"}))["channel"]["_id"]
    await server.post("channels.archive", {"roomId": room})
    status, answer = await send(server, f"rooms.upload/{room}", form(PNG))
    assert (status, answer["error"]) == (400, "The channel, old, is archived [error-room-archived]")
    assert files_of(server) == []


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("report.pdf", "report.pdf"),
        ("Übersicht 3.txt", "Übersicht 3.txt"),
        ("../../etc/passwd", "passwd"),
        ("C:\\temp\\a.txt", "a.txt"),
        ("a\r\nX-Evil: 1\x00.txt", "aX-Evil: 1.txt"),
        ("gpj.\u202eexe", "gpj.exe"),
        ("..", "file"),
        ("", "file"),
        ("x" * 300, "x" * 255),
    ],
)
def test_file_names_are_only_names(sent: str, kept: str) -> None:
    """A name keeps no folder, control or invisible character."""
    assert safe_name(sent) == kept


@pytest.mark.parametrize(
    ("head", "media_type"),
    [
        (b"\x89PNG\r\n\x1a\n", "image/png"),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF", "image/jpeg"),
        (b"GIF87a", "image/gif"),
        (b"GIF89a", "image/gif"),
        (b"RIFF\x10\x00\x00\x00WEBPVP8 ", "image/webp"),
        (b"RIFF\x10\x00\x00\x00WAVEfmt ", "application/octet-stream"),
        (b"%PDF-1.7", "application/octet-stream"),
        (b"", "application/octet-stream"),
    ],
)
def test_types_are_told_by_the_first_bytes(head: bytes, media_type: str) -> None:
    """Only the four image types are known; what a sender claims does not count."""
    assert sniff(head) == media_type


def test_a_name_cannot_leave_its_header() -> None:
    """Quotes, backslashes and other letters stand encoded."""
    assert (
        content_disposition("attachment", 'ü"; x=\\1.txt')
        == "attachment; filename=\"__; x=_1.txt\"; filename*=UTF-8''%C3%BC%22%3B%20x%3D%5C1.txt"
    )
