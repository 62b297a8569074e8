"""`slack_sdk.webhook.WebhookClient` aimed at an incoming hook."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from slack_sdk.models.attachments import Attachment, AttachmentField
from slack_sdk.models.blocks import DividerBlock, HeaderBlock, SectionBlock
from slack_sdk.webhook import WebhookClient, WebhookResponse

from tests.scenarios.stored import message_row, rows
from tests.server import Server


async def send(url: str, **message: Any) -> WebhookResponse:
    """Send one message the way its users do."""
    return await asyncio.to_thread(lambda: WebhookClient(url).send(**message))


CASES: dict[str, tuple[dict[str, Any], str, dict[str, Any]]] = {
    "text": ({"text": "Disk *full* on db1"}, "Disk *full* on db1", {}),
    "text-beside-blocks": (
        {"text": "Disk full", "blocks": [SectionBlock(text="Disk full on *db1*")]},
        "Disk full",
        {},
    ),
    "attachments": (
        {
            "text": "Build 812",
            "attachments": [
                Attachment(
                    text="failed in test",
                    color="#d22852",
                    title="api / main",
                    title_link="https://ci.example.test/812",
                    fields=[AttachmentField(title="Minutes", value="4", short=True)],
                )
            ],
        },
        "Build 812",
        {
            "text": "failed in test",
            "color": "#d22852",
            "title": "api / main",
            "title_link": "https://ci.example.test/812",
            "fields": [{"title": "Minutes", "value": "4", "short": True}],
        },
    ),
}


@pytest.mark.parametrize("case", CASES)
async def test_messages(server: Server, tmp_path: Path, case: str) -> None:
    """What the library builds is posted, and its answer object carries this server's 200."""
    message, text, attachment = CASES[case]

    response = await send(server.hook, **message)

    assert response.status_code == 200
    assert json.loads(response.body) == {"success": True}
    (posted,) = await server.room_messages()
    assert posted["msg"] == text
    shown = posted["attachments"][0] if attachment else {}
    assert {key: shown[key] for key in attachment} == attachment
    assert message_row(tmp_path / "data", posted["_id"])["text"] == text


async def test_blocks_alone(server: Server) -> None:
    """A message of blocks alone is posted as the text in them (decision 40)."""
    blocks = [
        HeaderBlock(text="Review received"),
        DividerBlock(),
        SectionBlock(text="<https://example.com|Overlook Hotel> has *too many* axe holes"),
    ]

    response = await send(server.hook, blocks=blocks)

    assert (response.status_code, json.loads(response.body)) == (200, {"success": True})
    (posted,) = await server.room_messages()
    assert "Review received" in posted["msg"]
    assert "Overlook Hotel" in posted["msg"]
    assert "https://example.com" in posted["msg"]


async def test_a_wrong_token(server: Server, tmp_path: Path) -> None:
    """A refusal reaches the caller as status and text, and nothing is posted."""
    response = await send(server.hook[:-1] + "-", text="hello")

    assert response.status_code == 404
    assert json.loads(response.body)["error"] == "Invalid integration id or token provided."
    assert rows(tmp_path / "data", "SELECT count(*) FROM message") == [(0,)]
