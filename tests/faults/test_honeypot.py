"""Outgoing hooks of every refused spelling, aimed at a port of this machine by the running server: nobody comes."""

from pathlib import Path

from bot.workspace.hook_rules import MOST_ADDRESSES
from handlers.targets import ADDRESS_REFUSED
from storage.records.delivery import DeliveryState
from tests.addresses import cases
from tests.faults import stage
from tests.faults.conftest import Honeypot
from tests.server import serving

ALLOWED_ELSEWHERE = "127.0.0.1:1,[::1]:1,localhost:1"
"""Opens this machine, but not the honeypot's port."""


async def test_every_spelling(tmp_path: Path, honeypot: Honeypot) -> None:
    """Refused when it is written, refused when it is called though it was stored, and never dialled."""
    refused = [case.at(honeypot.port) for case in cases() if case.dial == "refused" and not case.allow]
    # names that would be asked of a real name server are the business of the resolver's own tests
    by_itself = {case.url: case for case in refused if not case.resolves}
    assert len(by_itself) > 200
    async with serving(tmp_path / "data", allow_targets=ALLOWED_ELSEWHERE) as server:
        written = {}
        for url in by_itself:
            status, told = await server.api("POST", "integrations.create", outgoing_form(url))
            written[url] = (status, told.get("error", ""))
        taken = {url for url, (status, _) in written.items() if status == 200}
        assert taken == {url for url, case in by_itself.items() if case.write == "taken"}
        assert {told for url, (status, told) in written.items() if status != 200 and not told} == set()

        storable = [url for url in by_itself if url.encode(errors="ignore").decode() == url]
        tried, dead = [], []
        for number, first in enumerate(range(0, len(storable), MOST_ADDRESSES)):
            word, urls = f"!{number}", storable[first : first + MOST_ADDRESSES]
            hook = await stage.hook_calling(server, *urls, trigger_words=(word,))
            await stage.say(server, f"{word} hello")
            tried += await stage.attempts(server, hook, len(urls))
            dead += await stage.ended(server, hook, DeliveryState.DEAD, len(urls))
        assert len(tried) == len(dead) == len(storable)
        assert {attempt.status for attempt in tried} == {None}
        texts = {attempt.error for attempt in tried}
        assert ADDRESS_REFUSED.message in texts
        assert not [text for text in texts if text and str(honeypot.port) in text]
        # the one text for all refused addresses tells nobody what stands behind them (decision 47)
        assert {attempt.failed for attempt in tried} == {True}
    assert honeypot.strangers() == []


def outgoing_form(url: str) -> dict[str, object]:
    return {
        "type": "webhook-outgoing",
        "name": "outward",
        "enabled": True,
        "username": "rocket.cat",
        "channel": "#general",
        "scriptEnabled": False,
        "event": "sendMessage",
        "urls": [url],
        "triggerWords": ["never said"],
    }
