"""Say what one outgoing HTTP call is, and how it can end.

Values only: `bot/outbound.py` turns a request into one of the ends, the flows judge them.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from storage.shares import Path

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

# What belongs to the connection, not to its user: the client writes these itself. `Accept-Encoding` is
# among them because an answer packed in a way we cannot unpack would be lost; `Expect` because a receiver
# that never says "continue" would hold the call.
_OURS = frozenset(
    {
        "accept-encoding",
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# Control characters but TAB would end or split the line; lone surrogates cannot be written at all.
_BAD_IN_VALUE = re.compile("[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]")

FailureKind = Literal["timeout", "network", "tls", "dns"]


@dataclass(frozen=True, slots=True)
class OutboundRequest:
    """One call to make; its `repr` shows nothing that may hold a secret."""

    method: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    deadline_s: float
    share: Path = ("ours",)
    """For whom it is made, the outermost first: whose slots it takes where slots are shared."""


@dataclass(frozen=True, slots=True)
class Answered:
    """The receiver answered, whatever the status.

    Header names are lower case, of repeated ones the first counts. `body` is unpacked; `truncated` says
    that it was longer than what is kept (security.md §4, decision 44).
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    truncated: bool
    duration_ms: int


@dataclass(frozen=True, slots=True)
class Failed:
    """No whole answer came; the message is fit for people without rights and may be tried again."""

    kind: FailureKind
    message: str
    duration_ms: int = 0


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing was sent, and trying again would change nothing (decision 47)."""

    message: str


@dataclass(frozen=True, slots=True)
class Unsent:
    """Nothing was sent because this process had no slot free in time: no fault of the receiver's, and no attempt."""

    message: str


End = Answered | Failed | Refused | Unsent
"""How a call can end."""


def sendable_headers(headers: Mapping[str, str]) -> dict[str, str] | Refused:
    """Return the headers a tenant may set, without those of the connection itself (security.md §4)."""
    sendable = {}
    for name, value in headers.items():
        if not _NAME.fullmatch(name):
            return Refused(f"{name[:60]!r} is no header name: use letters, digits and hyphens only.")
        if _BAD_IN_VALUE.search(value):
            return Refused(f"The value of the header {name} has a line break or another control character.")
        if name.lower() not in _OURS:
            sendable[name] = value
    return sendable
