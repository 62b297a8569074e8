"""What is kept of a command that waits for its confirmation, and of one that can be taken back (commands.md §2.5)."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, cast

from handlers.command import CommandContext, Confirm, Thing
from storage.clock import Millis
from storage.ids import random_text
from storage.records.pending import Pending, PendingKind

PROPOSAL_MS: Final = 5 * 60 * 1000
UNDO_MS: Final = 10 * 60 * 1000
CODE_LENGTH: Final = 6

_CODE_LETTERS: Final = frozenset("34679ACDEFGHJKMNPQRTUVWXY")
"""No look-alikes (0 O, 1 I L, 2 Z, 5 S, 8 B): people type these from a screen (decision 65)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """One line to run later, for one version of one thing; `private` is sealed with the rest of it at rest."""

    line: str
    private: Mapping[str, str] = field(default_factory=dict, repr=False)
    title: str = ""
    confirm: Confirm = Confirm.NONE
    thing: Thing | None = None

    def body(self) -> str:
        """Write it as JSON."""
        thing = self.thing and [self.thing.kind, self.thing.id, self.thing.name, self.thing.version]
        return json.dumps([self.line, dict(self.private), self.title, self.confirm.value, thing], ensure_ascii=False)

    @classmethod
    def read(cls, body: str) -> "Kept":
        """Read what `body` wrote."""
        line, private, title, confirm, thing = cast(
            "tuple[str, dict[str, str], str, str, list[object] | None]", json.loads(body)
        )
        kind, thing_id, name, version = thing or (None, None, None, None)
        about = Thing(kind=str(kind), id=str(thing_id), name=str(name), version=cast("int | None", version))
        return cls(line=line, private=private, title=title, confirm=Confirm(confirm), thing=about if thing else None)

    def fits(self, thing: Thing | None) -> bool:
        """Tell whether the thing is still at the version this was made for."""
        if self.thing is None or thing is None:
            return self.thing is None and thing is None
        return (self.thing.id, self.thing.version) == (thing.id, thing.version)


def new_code() -> str:
    """Return six letters and digits that no eye mistakes."""
    code = ""
    while len(code) < CODE_LENGTH:
        code += "".join(char for char in random_text(24).upper() if char in _CODE_LETTERS)
    return code[:CODE_LENGTH]


def proposal(kept: Kept, code: str, context: CommandContext) -> Pending:
    """Return a proposal of the caller in this place, good for 5 minutes."""
    return _pending(PendingKind.PROPOSAL, code, kept, context, PROPOSAL_MS)


def undo(kept: Kept, context: CommandContext) -> Pending:
    """Return what takes the caller's change back, good for 10 minutes."""
    return _pending(PendingKind.UNDO, random_text(24), kept, context, UNDO_MS)


def _pending(kind: PendingKind, key: str, kept: Kept, context: CommandContext, lasts: int) -> Pending:
    return Pending(
        kind=kind,
        key=key,
        user_id=context.actor.id,
        place=context.place.key,
        body=kept.body(),
        expires_at=Millis(context.now + lasts),
    )
