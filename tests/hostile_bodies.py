"""The request bodies of `fixtures/hostile_bodies.jsonl`, described there and built here.

A line's `body` is a list of `[unit, times]`, each character of a unit being one byte. `pack` compresses it, `members`
repeats the packed stream, `tail` adds zero bytes behind it. `value` is what a 200 must parse to, or `"any"`; otherwise
`text` must stand in the answer's text. `live` lines are about the wire and need a server.
"""

import json
import zlib
from pathlib import Path
from typing import Any

_WINDOWS = {"gzip": 16 + zlib.MAX_WBITS, "zlib": zlib.MAX_WBITS, "raw-deflate": -zlib.MAX_WBITS}

Case = dict[str, Any]  # a line of the file: free-form JSON

CASES: list[Case] = [
    json.loads(line)
    for line in (Path(__file__).parent / "fixtures" / "hostile_bodies.jsonl").read_text(encoding="utf-8").splitlines()
]


def build(case: Case) -> bytes:
    """Return the bytes that go over the wire."""
    plain: bytes = b"".join(unit.encode("latin-1") * times for unit, times in case["body"])
    if "pack" not in case:
        return plain
    packer = zlib.compressobj(wbits=_WINDOWS[case["pack"]])
    packed = packer.compress(plain) + packer.flush()
    members: int = case.get("members", 1)
    tail: int = case.get("tail", 0)
    return packed * members + bytes(tail)
