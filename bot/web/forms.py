"""`/forms/CODE`: the page on which private input for a command is typed, once (decision 66).

The code is the credential: there is no cookie and so nothing to forge across sites. Looking never uses it up, since
chats fetch every link that is posted in them.
"""

import base64
import functools
import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import datetime, tzinfo
from typing import Final
from urllib.parse import parse_qsl

import jinja2
from aiohttp import web

from bot.flows.command import CommandFlow
from bot.settings import Network
from bot.web.bodies import read_raw
from bot.web.client import counted_address
from bot.web.limits import RateLimit
from bot.workspace.forms import PATH, Forms, OneTimeForm
from handlers.bodies import BodyFault
from handlers.command import Answer, Door, Form, FormField
from storage.records.pending import PendingEnd

MAX_BODY_BYTES = 64 * 1024
MAX_VALUES = 50
LONGEST_VALUE = 8_000

Submit = Callable[[OneTimeForm, Mapping[str, str]], Awaitable[Answer]]
"""Runs the form's line as its user, with what was typed as private values."""

_HEADERS = {
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "X-Robots-Tag": "noindex",
}

DOOR: Final = Door(name="form", whispers=False)
"""The page: its address proves who it is for, and what it says stays on a screen."""

_GONE = {
    PendingEnd.TAKEN: "This form was sent already; it works once. Run the command again for a new one.",
    PendingEnd.REPLACED: "A newer form took the place of this one. Use that, or run the command again.",
    PendingEnd.GUESSED: "This form is closed. Run the command again for a new one.",
    PendingEnd.EXPIRED: "This form was good for 10 minutes, and they are over. Run the command again for a new one.",
}
_UNKNOWN = "There is no such form. It may have expired: run the command again for a new one."
_SENT_DIRECTLY = "Done. What the command shows only once was sent to you directly, by rocket.cat in Patchbay."
_NOT_SENT = "Done, but what the command shows only once could not be sent to you. Make a new one: rotate it."


def running(flow: CommandFlow) -> Submit:
    """Return what runs a submitted form; what may be shown once only goes to its user by direct message."""

    async def submit(found: OneTimeForm, values: Mapping[str, str]) -> Answer:
        said = await flow.run(found.user, found.place, found.form.line, DOOR, private=values, typed=False)
        if not said.secret:
            return said
        sent = await flow.whisper(found.user, said.text)
        return replace(said, public_text=_SENT_DIRECTLY if sent else _NOT_SENT)

    return submit


@functools.cache
def _environment() -> jinja2.Environment:
    """Return the templates, which are compiled once in a process."""
    return jinja2.Environment(loader=jinja2.PackageLoader("bot.web"), autoescape=True, undefined=jinja2.StrictUndefined)


class Page:
    """A page without scripts, whose address is a credential: nothing may keep or pass it on."""

    def __init__(self, template: str) -> None:
        environment = _environment()
        self._template = environment.get_template(template)
        style = hashlib.sha256(environment.get_template("form.css").render().encode()).digest()
        policy = (
            f"default-src 'none'; style-src 'sha256-{base64.b64encode(style).decode()}'; form-action 'self'; "
            "base-uri 'none'; frame-ancestors 'none'"
        )
        self.headers = {"Content-Security-Policy": policy, **_HEADERS}

    def response(self, status: int, values: Mapping[str, object]) -> web.Response:
        """Render the page."""
        text = self._template.render(values)
        return web.Response(status=status, text=text, content_type="text/html", charset="utf-8", headers=self.headers)


class FormRoutes:
    """Shows and takes one-time forms."""

    def __init__(
        self, forms: Forms, submit: Submit, limit: RateLimit, trusted: tuple[Network, ...], zone: tzinfo
    ) -> None:
        self._forms = forms
        self._submit = submit
        self._limit = limit
        self._trusted = trusted
        self._zone = zone
        self._page = Page("form.html")

    def add_to(self, app: web.Application) -> None:
        """Register the address of every form."""
        app.router.add_get(PATH + "/{code}", self._show)
        app.router.add_post(PATH + "/{code}", self._take)

    async def _show(self, request: web.Request) -> web.Response:
        found = await self._found(request)
        return found if isinstance(found, web.Response) else self._ask(found)

    async def _take(self, request: web.Request) -> web.Response:
        found = await self._found(request)
        if isinstance(found, web.Response):
            return found
        given = await _posted(request, found.form)
        if isinstance(given, BodyFault):
            return self._say("Not done", given.text, given.status)
        filled = self._forms.fill(found.form, given)
        if filled.missing:
            return self._ask(found, filled.missing)
        if not await self._forms.take(request.match_info["code"]):
            return self._say("Not done", _GONE[PendingEnd.TAKEN], 410)
        answer = await self._submit(found, filled.values)
        # a page may be looked at over a shoulder: nothing secret stands on it
        text = answer.text if not answer.secret else answer.public_text or _NOT_SENT
        return self._say(answer.mark.value, text)

    async def _found(self, request: web.Request) -> OneTimeForm | web.Response:
        allowance = self._limit.take(counted_address(request, self._trusted))
        if allowance is not None and not allowance.allowed:
            return self._say("Not done", f"Too many requests. Wait {allowance.wait_s} s and try again.", 429)
        found = await self._forms.find(request.match_info["code"])
        if isinstance(found, OneTimeForm):
            return found
        if found is None:
            return self._say("Not done", _UNKNOWN, 404)
        return self._say("Not done", _GONE[found], 410)

    def _ask(self, found: OneTimeForm, missing: tuple[str, ...] = ()) -> web.Response:
        until = datetime.fromtimestamp(found.expires_at / 1000, self._zone)
        return self._render(
            422 if missing else 200,
            title=found.form.title,
            form=found.form,
            user=found.user.username,
            missing=[_lacks(one) for one in found.form.fields if one.name in missing],
            wrong=missing,
            until=f"{until:%H:%M %Z}",
        )

    def _say(self, title: str, text: str, status: int = 200) -> web.Response:
        kind = "problem" if title == "Not done" else "done"
        return self._render(status, title=title, form=None, text=text, kind=kind)

    def _render(self, status: int, **values: object) -> web.Response:
        return self._page.response(status, values)


def _lacks(field: FormField) -> str:
    """Say what is wrong with a field that was not taken."""
    wanted = f"needs at least {field.at_least} characters" if field.at_least else "must not be empty"
    return f"{field.label} {wanted}"


async def _posted(request: web.Request, form: Form) -> dict[str, str] | BodyFault:
    """Read what a page posts; a name that comes twice counts once, its last value."""
    longest = {one.name: one.at_most for one in form.fields}
    # beside the usual room; a byte may come as three characters: %C3
    more = max((most for most in longest.values() if most > LONGEST_VALUE), default=0)
    raw = await read_raw(request, MAX_BODY_BYTES + 3 * more)
    if isinstance(raw, BodyFault):
        return raw
    if request.content_type != "application/x-www-form-urlencoded":
        return BodyFault(415, "Send the form from its own page.")
    try:
        pairs = parse_qsl(
            raw.decoded.decode("ascii"), keep_blank_values=True, max_num_fields=MAX_VALUES, errors="strict"
        )
    except ValueError:
        return BodyFault(400, "The form is not readable; nothing was done with it.")
    for name, value in pairs:
        if len(value) > (most := longest.get(name, LONGEST_VALUE)):
            return BodyFault(413, f"A value is longer than {most:,} characters.")
    return dict(pairs)
