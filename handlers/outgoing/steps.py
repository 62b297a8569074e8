"""The steps an outgoing call's history shows, in the wire's words (`rocketchat.md` §8)."""

AFTER_HTTP_CALL = "after-http-call"
"""Answered and nothing to post, or no call was possible at all."""

RESPONSE_POSTED = "url-response-sent-message"
POSTING_FAILED = "after-http-call-send-message-failed"
GONE = "after-process-http-status-410"
RECEIVER_BROKEN = "after-process-http-status-500"
TOO_MANY_RETRIES = "too-many-retries"
NO_RETRIES_WANTED = "failed-and-not-configured-to-retry"
RETRY_DELAY_INVALID = "failed-and-retry-delay-is-invalid"
STOPPED_BY_HOP_LIMIT = "stopped-by-hop-limit"
"""Ours: no call was made because the message came through too many hooks (decision 46)."""

MUTED = "muted"
"""Ours: no call was made, and none will be, because the hook was muted when it happened (decision 65)."""

STOPPED_WITH_RIGHTS = "stopped-with-rights"
"""Ours: no call was made because the hook's maker may not enter the room any more."""

LEFT_OUT = "left-out-by-call-limit"
"""Ours: no call was made because others had all the calls one message may cause."""

_FINISHING = frozenset({RESPONSE_POSTED, POSTING_FAILED, STOPPED_BY_HOP_LIMIT, MUTED, STOPPED_WITH_RIGHTS, LEFT_OUT})


def finishes(step: str) -> bool:
    """Tell whether an entry at this step carries `finished`; the other last steps do not."""
    return step in _FINISHING


def going_to_retry(number: int) -> str:
    """Return the step of a failure that will be tried again, the first time as number 1."""
    return f"going-to-retry-{number}"
