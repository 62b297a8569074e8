"""Read `fixtures/addresses.jsonl`: every form and spelling of an address, with its verdicts.

`write` is the verdict of the check when an address is written (taken, refused, malformed), `dial` the
verdict when it is called, given the addresses its host `resolves` to and the `allow` list.
"""

import json
from dataclasses import dataclass
from pathlib import Path

FILE = Path(__file__).parent / "fixtures" / "addresses.jsonl"


@dataclass(frozen=True)
class AddressCase:
    """One line of the file; `{port}` in it stands for the port of whoever must, or must not, be reached."""

    case: str
    url: str
    write: str
    dial: str
    allow: str = ""
    resolves: tuple[str, ...] = ()

    def at(self, port: int) -> "AddressCase":
        """Return the case with its port filled in."""
        url, allow = (text.replace("{port}", str(port)) for text in (self.url, self.allow))
        return AddressCase(self.case, url, self.write, self.dial, allow, self.resolves)


def cases() -> list[AddressCase]:
    """Return all cases of the file."""
    rows = [json.loads(line) for line in FILE.read_text(encoding="utf-8").splitlines()]
    return [AddressCase(**{**row, "resolves": tuple(row.get("resolves", ()))}) for row in rows]


def name_of(case: AddressCase) -> str:
    """Name a case in a test report."""
    return f"{case.case}: {ascii(case.url)[1:-1]}"
