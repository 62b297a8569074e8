"""Take bodies in Rocket.Chat's own shape as they are (rocketchat.md §5.2)."""

from collections.abc import Mapping

from handlers.formatter import Formatter
from handlers.message import DraftFault, not_an_object


class RocketChat:
    """The identity: what is sent is what is read."""

    name = "rocketchat"
    summary = "Rocket.Chat's own body: text, attachments, alias, avatar, emoji"

    sample = """{
        "text": "Build *1234* passed.",
        "attachments": [
            {
                "title": "main is green",
                "title_link": "https://ci.example.com/builds/1234",
                "text": "12 tests in 34 s",
                "color": "#2f9e44"
            }
        ]
    }"""

    def recognises(self, body: object) -> bool:
        """Claim nothing: every body may be meant for Rocket.Chat, so this is what remains."""
        return False

    def format(self, body: object) -> Mapping[str, object] | DraftFault:
        return body if isinstance(body, dict) else not_an_object(body)


FORMATTER: Formatter = RocketChat()
