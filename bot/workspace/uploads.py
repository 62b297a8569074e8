"""Uploaded files: bytes on disk under a random id, shown by the message that confirms them (decision 52)."""

import asyncio
import errno
import os
import re
import unicodedata
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, Protocol
from urllib.parse import quote

from msgspec import structs

from bot.workspace.directory import Directory
from bot.workspace.fanout import Fanout
from bot.workspace.posting import Posting, plain
from handlers.errors import Fault
from handlers.message import MESSAGE_TOO_LONG
from storage import ports
from storage.clock import Clock, Millis
from storage.errors import Gone, Stale, StorageFull, Unavailable
from storage.ids import ALPHABET, random_text
from storage.records.changes import Changes, merge
from storage.records.message import Message
from storage.records.room import Room
from storage.records.upload import Upload
from storage.records.user import User
from storage.records.version import revised

CONFIRM_WITHIN_MS = 24 * 60 * 60 * 1000
IMAGE_TYPES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
"""What a browser may show inside a page; everything else is only ever saved."""
UNKNOWN_TYPE = "application/octet-stream"
MOST_NAME_CHARS = 255

NO_FILE = Fault("No file was sent; send it as the part named file", "error-no-file")
INVALID_FILE = Fault(code="invalid-file")

_ID = re.compile(f"[{ALPHABET}]{{17}}")
_SNIFFED = 16
"""Bytes a type is told by."""


class UploadStore(ports.Ledger, ports.Uploads, Protocol):
    """What uploads read and write."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caption:
    """What the message of a file says beside it."""

    text: str = ""
    description: str = ""
    thread_id: str | None = None


class Uploads:
    """Takes files in, shows them in rooms, and clears away those nobody has shown.

    The record is written before the first byte: what a crash leaves behind is a file with an unconfirmed
    record, which goes after 24 h, and bytes on their way count for the quota.
    """

    def __init__(
        self,
        directory: Directory,
        store: UploadStore,
        posting: Posting,
        fanout: Fanout,
        clock: Clock,
        folder: Path,
        *,
        max_bytes: int,
        quota_bytes: int,
        max_chars: int,
    ) -> None:
        self._directory = directory
        self._store = store
        self._posting = posting
        self._fanout = fanout
        self._clock = clock
        self._folder = folder
        self._max_bytes = max_bytes
        self._quota_bytes = quota_bytes
        self._max_chars = max_chars
        self._one_at_a_time = asyncio.Lock()

    def path(self, upload: Upload) -> Path:
        """Return where a file's bytes are; its id was made here and names no other folder."""
        return self._folder / upload.id

    async def readable(self, reader: User, upload_id: str) -> Upload | None:
        """Find a file its reader may see: members of its room, and only the sender before it is shown there."""
        upload = await self._find(upload_id)
        if upload is None or await self._directory.member(upload.room_id, reader.id) is None:
            return None
        return upload if upload.confirmed or upload.user_id == reader.id else None

    async def receive(
        self, sender: User, room: Room, name: str, chunks: AsyncIterator[bytes], *, expected: int | None
    ) -> Upload | Fault:
        """Write a file to disk; `expected` is the most bytes the request can hold, where it says so.

        It waits to be confirmed; whatever stops it on the way removes what was written.
        """
        upload = await self._reserve(sender, room, name, expected)
        if isinstance(upload, Fault):
            return upload
        try:
            written = await self._write(self.path(upload), chunks)
            if written is not None:
                size, head = written
                upload = revised(upload, size=size, type=sniff(head))
                await self._store.commit(Changes(put_uploads=(upload,)))
                return upload
        except OSError as error:
            await self._give_up(upload)
            raise _disk_fault(error) from error
        except BaseException:  # the caller left: nothing may stay behind
            await self._give_up(upload)
            raise
        await self.discard(upload)
        return self._too_large()

    async def discard(self, upload: Upload) -> None:
        """Remove a file that no message will show."""
        await asyncio.to_thread(self.path(upload).unlink, missing_ok=True)
        await self._store.commit(Changes(drop_uploads=(upload.id,)))

    async def _give_up(self, upload: Upload) -> None:
        """Remove a file after a fault; where that is not possible now, it goes with those that are never confirmed."""
        with suppress(Unavailable):
            await self.discard(upload)

    async def show(self, sender: User, upload: Upload, caption: Caption) -> Message | Fault:
        """Post the message that shows a file; both are stored together, and `fileUploaded` hooks hear of it."""
        if max(len(caption.text), len(caption.description)) > self._max_chars:
            return Fault(code=MESSAGE_TOO_LONG)
        draft = structs.replace(
            plain(caption.text, thread_id=caption.thread_id), attachments=(_attachment(upload, caption.description),)
        )
        prepared = await self._posting.prepare(draft, sender, [upload.room_id], file=_file(upload))
        if isinstance(prepared, Fault):
            return prepared
        [message], [room] = prepared.messages, prepared.rooms
        fact = await self._fanout.file(message, room, sender)
        shown = Changes(put_uploads=(revised(upload, confirmed=True),), facts=(fact,))
        try:
            await self._store.commit(merge(prepared.changes, shown))
        except (Stale, Gone):  # shown or swept a moment ago
            return INVALID_FILE
        return message

    async def confirm(
        self, sender: User, room: Room, upload_id: str, caption: Caption, *, name: str | None = None
    ) -> Message | Fault:
        """Show a file its sender uploaded to that room within the last 24 h; once."""
        async with self._one_at_a_time:  # else two calls at once would both find it unconfirmed
            upload = await self._find(upload_id)
            if upload is None or upload.confirmed or (upload.user_id, upload.room_id) != (sender.id, room.id):
                return INVALID_FILE
            if upload.created_at + CONFIRM_WITHIN_MS <= self._clock.now():
                return INVALID_FILE
            if name is not None:
                upload = replace(upload, name=safe_name(name))
            return await self.show(sender, upload, caption)

    async def purge_unconfirmed(self, before: Millis) -> int:
        """Remove files sent before a moment whose message never came, and bytes without a record; returns how many."""
        if not await asyncio.to_thread(self._folder.is_dir):
            return 0  # it was taken away, and comes back with what is in it
        forgotten = await self._store.unconfirmed_uploads(before)
        for upload in forgotten:
            await self.discard(upload)
        # a record is there before its first byte, so bytes without one belong to a removed message
        orphans = [path for path in await asyncio.to_thread(self._files) if await self._store.upload(path.name) is None]
        for path in orphans:
            await asyncio.to_thread(path.unlink, missing_ok=True)
        return len(forgotten) + len(orphans)

    async def _find(self, upload_id: str) -> Upload | None:
        """Find a file of this organisation (decision 6)."""
        upload = await self._store.upload(upload_id)
        return upload if upload is not None and upload.org_id == self._directory.org else None

    def _files(self) -> list[Path]:
        return [path for path in self._folder.iterdir() if _ID.fullmatch(path.name)]

    async def _reserve(self, sender: User, room: Room, name: str, expected: int | None) -> Upload | Fault:
        """Write the record that holds the file's place in its sender's quota."""
        most = self._max_bytes if expected is None else min(expected, self._max_bytes)
        async with self._one_at_a_time:  # else files sent at once would share the same free bytes
            used = await self._store.uploaded_bytes(sender.id)
            if used + most > self._quota_bytes:
                return Fault(
                    f"Your files take {used:,} of {self._quota_bytes:,} bytes (PATCHBAY_UPLOAD_QUOTA_BYTES);"
                    " this one does not fit",
                    "error-upload-quota-exceeded",
                )
            upload = Upload(
                id=random_text(17),
                org_id=sender.org_id,
                room_id=room.id,
                user_id=sender.id,
                name=safe_name(name),
                size=most,
                type=UNKNOWN_TYPE,
                confirmed=False,
                created_at=self._clock.now(),
            )
            await self._store.commit(Changes(new_uploads=(upload,)))
            return upload

    async def _write(self, path: Path, chunks: AsyncIterator[bytes]) -> tuple[int, bytes] | None:
        """Write all chunks durably and return size and first bytes; None when they are too many."""
        size, head = 0, b""
        file = await asyncio.to_thread(path.open, "xb")
        try:
            async for chunk in chunks:
                size += len(chunk)
                if size > self._max_bytes:
                    return None
                head += chunk[: _SNIFFED - len(head)]
                await asyncio.to_thread(file.write, chunk)
            await asyncio.to_thread(_flush, file)
        finally:
            await asyncio.to_thread(file.close)
        return size, head

    def _too_large(self) -> Fault:
        text = f"The file is larger than {self._max_bytes:,} bytes (PATCHBAY_MAX_UPLOAD_BYTES)"
        return Fault(text, "error-file-too-large", status=413)


def sniff(head: bytes) -> str:
    """Tell an image by its first bytes; whatever else it is counts as unknown."""
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if head.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "image/webp"
    return UNKNOWN_TYPE


def safe_name(name: str) -> str:
    """Return a file name that is only a name: no folders, no control or invisible characters, at most 255."""
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    kept = "".join(char for char in last if not unicodedata.category(char).startswith("C"))
    kept = kept.strip()[:MOST_NAME_CHARS]
    return kept if kept.strip(". ") else "file"


def link(upload: Upload) -> str:
    """Return the address a file is served at, below the server's own."""
    return f"/file-upload/{upload.id}/{quote(upload.name, safe='')}"


def _file(upload: Upload) -> dict[str, object]:
    return {"_id": upload.id, "name": upload.name, "type": upload.type, "size": upload.size}


def _attachment(upload: Upload, description: str) -> dict[str, object]:
    """Return what clients draw a file from, in Rocket.Chat's keys."""
    where = link(upload)
    shown: dict[str, object] = {"title": upload.name, "type": "file", "title_link": where, "title_link_download": True}
    if description:
        shown["description"] = description
    if upload.type in IMAGE_TYPES:
        return {**shown, "image_url": where, "image_type": upload.type, "image_size": upload.size}
    return {**shown, "size": upload.size}


def _disk_fault(error: OSError) -> Unavailable:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageFull("The disk that holds the uploads is full; free some space, nothing was changed.")
    return Unavailable(f"The folder of the uploads cannot be written ({error.strerror}); nothing was changed.")


def _flush(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())
