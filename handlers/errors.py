"""Why something is refused: one value for every door, translated to the wire at the edge."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """A refusal in Rocket.Chat's terms (`rocketchat.md` §1.1): a code, a reason for people, or both."""

    reason: str | None = None
    code: str | None = None
    details: Mapping[str, object] | None = None
    status: int = 400
    retry_after_s: int | None = None
    """Seconds after which the same may be tried again."""

    @property
    def bare(self) -> str:
        """Return what a hook answers: the bare code, else the reason (§5.1 step 8)."""
        return self.code or self.reason or "unknown-error"

    @property
    def bracketed(self) -> str:
        """Return what a REST call answers: `Reason [code]`, `[code]` or the reason alone."""
        if self.code is None:
            return self.reason or "unknown-error"
        return f"{self.reason} [{self.code}]" if self.reason else f"[{self.code}]"


UNAUTHORIZED = Fault("unauthorized", status=403)
"""The handler refuses a permission (§1.1)."""
NOT_PERMITTED = Fault("User does not have the permissions required for this action", "error-unauthorized", status=403)
"""The route refuses a permission: history, list and remove of 7.x (§1.1, decision 19)."""
