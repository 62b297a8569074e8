"""The end of loops from hook to room to hook: a message counts the hooks it came through (decision 46)."""

import re

HEADER = "X-Patchbay-Hops"
"""Sent on every outgoing call; a receiver that posts back may hand it on."""

MAX_HOPS = 5
"""A message that came this far fires no outgoing hook any more."""

_COUNT = re.compile(r"[0-9]{1,4}")


def incoming_hops(header: str | None) -> int:
    """Return the hops of a message made from an incoming post with this value of the header.

    Without the header, and with one that is not ours, nobody says that the post came from a hook: 0.
    """
    if header is None or not _COUNT.fullmatch(header):
        return 0
    return min(int(header) + 1, MAX_HOPS)
