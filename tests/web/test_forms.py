"""The page on which private input is typed once (decision 66)."""

import asyncio
import base64
import hashlib
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC
from html.parser import HTMLParser
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from bot.web.bodies import RUNNER_OPTIONS
from bot.web.forms import FormRoutes
from bot.web.limits import RateLimit
from bot.workspace.forms import FORM_MS, Forms, OneTimeForm
from handlers.command import Answer, Form, FormField, Place
from storage.records.user import User
from tests.people import People, people_at

SECRET = "canary-3f9a-signing"
FORM = Form(
    "Secret of ci-alerts",
    "in edit ci-alerts --secret ? --note ?",
    (
        FormField("secret", "Signing <secret>", hint='From "Settings" & so on', secret=True),
        FormField("note", "Note", required=False),
    ),
)


class Page(HTMLParser):
    """What stands in a page, as a browser without scripts would find it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.labels: dict[str, str] = {}
        self.inputs: list[dict[str, str | None]] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.text = ""
        self._label: str | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.append(tag)
        if named := found.get("id"):
            self.ids.append(named)
        if tag == "label":
            self._label = found.get("for")
        if tag == "input":
            self.inputs.append(found)

    def handle_endtag(self, tag: str) -> None:
        if tag == "label":
            self._label = None

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._label is not None:
            self.labels[self._label] = self.labels.get(self._label, "") + data


@dataclass
class Stage:
    people: People
    forms: Forms
    ann: User
    http: aiohttp.ClientSession
    answer: Answer = field(default_factory=lambda: Answer("Done. Changed."))
    ran: list[tuple[OneTimeForm, Mapping[str, str]]] = field(default_factory=list)

    async def make(self, form: Form = FORM) -> str:
        return await self.forms.make(form, self.ann, Place(channel="GENERAL", thread="t1"), "rocketchat")

    async def get(self, address: str) -> tuple[int, str, Mapping[str, str]]:
        async with self.http.get(address) as response:
            return response.status, await response.text(), response.headers

    async def post(self, address: str, **values: str) -> tuple[int, str]:
        async with self.http.post(address, data=values) as response:
            return response.status, await response.text()


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with people_at(tmp_path / "patchbay.db") as people, aiohttp.ClientSession() as http:
        app = web.Application()
        runner = web.AppRunner(app, **RUNNER_OPTIONS)
        found: list[Stage] = []

        async def submit(form: OneTimeForm, values: Mapping[str, str]) -> Answer:
            found[0].ran.append((form, values))
            return found[0].answer

        base = "http://127.0.0.1"
        forms = Forms(people.store, people.directory, people.clock, base)
        FormRoutes(forms, submit, RateLimit(0, people.clock), (), UTC).add_to(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        forms = Forms(people.store, people.directory, people.clock, f"http://{host}:{port}")
        found.append(Stage(people, forms, await people.add("ann"), http))
        yield found[0]
        await runner.cleanup()


async def test_a_form_runs_its_line_as_its_user_where_it_was_typed(stage: Stage) -> None:
    """What was typed reaches the command as private values, and nothing of it stands on the page."""
    address = await stage.make()
    assert re.fullmatch(r"http://127.0.0.1:\d+/forms/[\w-]{22}", address)  # 128 bits
    status, page = await stage.post(address, secret=SECRET, note="", other="x")
    assert status == 200
    assert "Done. Changed." in page
    assert SECRET not in page
    ((form, values),) = stage.ran
    assert values == {"secret": SECRET}
    assert (form.form, form.user, form.door) == (FORM, stage.ann, "rocketchat")
    assert (form.place.channel, form.place.thread, form.place.workspace) == ("GENERAL", "t1", None)
    assert form.place.room is not None


async def test_a_form_is_taken_once(stage: Stage) -> None:
    """Of two presses at once one counts; the other, and every later look, is told."""
    address = await stage.make()
    results = await asyncio.gather(*(stage.post(address, secret=SECRET) for _ in range(2)))
    assert sorted(status for status, _ in results) == [200, 410]
    assert len(stage.ran) == 1
    status, page, _ = await stage.get(address)
    assert status == 410
    assert "was sent already" in page


async def test_looking_uses_nothing_up(stage: Stage) -> None:
    """Chats fetch every link posted in them, by GET and by HEAD."""
    address = await stage.make()
    for _ in range(3):
        assert (await stage.get(address))[0] == 200
        async with stage.http.head(address) as response:
            assert response.status == 200
    assert (await stage.post(address, secret=SECRET))[0] == 200


async def test_a_form_ends_after_ten_minutes(stage: Stage) -> None:
    """Then neither page nor submission does anything but say so."""
    address = await stage.make()
    stage.people.clock.advance(FORM_MS)
    status, page = await stage.post(address, secret=SECRET)
    assert status == 410
    assert "10 minutes" in page
    assert stage.ran == []


async def test_an_unknown_code_shows_nothing(stage: Stage) -> None:
    """Guessing finds a plain page, whatever is in the code."""
    base = (await stage.make()).rpartition("/")[0]
    for code in ("A" * 22, "..%2f", "x" * 3000, "%00", "%ff"):
        async with stage.http.get(f"{base}/{code}") as response:
            assert response.status == 404, code


async def test_what_is_missing_is_asked_again_and_uses_nothing_up(stage: Stage) -> None:
    """Nothing of what was typed is shown back: neither the secret nor the rest."""
    address = await stage.make()
    status, text = await stage.post(address, secret="  ", note="a note")
    page = Page(text)
    assert status == 422
    assert "Signing <secret> must not be empty" in page.text
    assert "a note" not in text
    assert [one.get("value") for one in page.inputs] == [None, None]
    assert [one.get("aria-invalid") for one in page.inputs] == ["true", None]
    assert (await stage.post(address, secret=SECRET))[0] == 200


async def test_what_a_command_shows_once_does_not_stand_on_the_page(stage: Stage) -> None:
    """A page says that it was sent, as a door does that cannot whisper."""
    stage.answer = replace(Answer(f"Done. Address: {SECRET}"), secret=True, public_text="Sent to @ann directly.")
    status, page = await stage.post(await stage.make(), secret="other")
    assert status == 200
    assert SECRET not in page
    assert "Sent to @ann directly." in page


async def test_the_page_can_leak_nothing_and_run_nothing(stage: Stage) -> None:
    """No script, no frame, no referrer, no copy: whatever stands in it came out escaped."""
    status, text, headers = await stage.get(await stage.make())
    assert status == 200
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    style = text.partition("<style>")[2].partition("</style>")[0]
    assert f"'sha256-{base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()}'" in policy
    assert "unsafe" not in policy
    assert "script-src" not in policy
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert "Signing &lt;secret&gt;" in text
    assert "script" not in Page(text).tags


async def test_the_page_can_be_filled_in_by_keyboard_and_by_ear(stage: Stage) -> None:
    """Every input has its label and its hint, the first one the focus, and secrets are hidden."""
    _, text, _ = await stage.get(await stage.make())
    page = Page(text)
    first, second = page.inputs
    assert {page.labels[str(one["id"])] for one in page.inputs} == {"Signing <secret>", "Note (optional)"}
    assert (first["type"], second["type"]) == ("password", "text")
    assert "required" in first
    assert "required" not in second
    assert "autofocus" in first
    assert first["aria-describedby"] in page.ids
    assert len(set(page.ids)) == len(page.ids)
    assert 'From "Settings" & so on' in page.text
    assert re.search(r'<html lang="en">', text)
    assert page.tags.count("h1") == 1


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"secret=%ff", "application/x-www-form-urlencoded", 400),
        ("secret=ä".encode(), "application/x-www-form-urlencoded", 400),
        (b"&".join(b"a=1" for _ in range(100)), "application/x-www-form-urlencoded", 400),
        (b"secret=" + b"x" * 9000, "application/x-www-form-urlencoded", 413),
        (b"x" * 70_000, "application/x-www-form-urlencoded", 413),
        (b'{"secret":"x"}', "application/json", 415),
        (b"", "multipart/form-data; boundary=x", 415),
    ],
)
async def test_a_hostile_body_is_refused_and_uses_nothing_up(stage: Stage, body: bytes, kind: str, status: int) -> None:
    """Every bad input is an answer of ours, and the person can still send the form."""
    address = await stage.make()
    async with stage.http.post(address, data=body, headers={"Content-Type": kind}) as response:
        assert response.status == status
    assert stage.ran == []
    assert (await stage.post(address, secret=SECRET))[0] == 200


async def test_a_form_of_somebody_deactivated_is_gone(stage: Stage) -> None:
    """The address acts as its user, who may act no more."""
    address = await stage.make()
    await stage.people.users.set_active(stage.people.owner, stage.ann.id, active=False)
    assert (await stage.post(address, secret=SECRET))[0] == 404
    assert stage.ran == []
