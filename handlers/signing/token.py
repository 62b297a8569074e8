"""Plain tokens, for systems that sign nothing: whoever has one can be anybody (chat-dialects.md §2.2, §3.3)."""

import hmac

from handlers.signing.verdict import Verdict


def verify(secret: str, given: str | None) -> Verdict:
    """Compare a token in constant time, on bytes: one that is no ASCII is a mismatch like any other."""
    if not secret:
        return Verdict.UNUSABLE_KEY
    sent = (given or "").encode("utf-8", "surrogatepass")
    same = hmac.compare_digest(secret.encode("utf-8", "surrogatepass"), sent)
    if not given:
        return Verdict.MISSING
    return Verdict.VALID if same else Verdict.MISMATCH
