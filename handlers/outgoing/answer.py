"""What the end of a call means: delivered, tried again, or given up (`rocketchat.md` §7.1, §7.2).

Decisions 13, 42 and 44 change the contract where the original loses or repeats calls for no reason.
"""

from codecs import BOM_UTF8
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

from handlers.bodies import BodyFault, parse_json
from handlers.http import Answered, Failed, Refused
from handlers.outgoing import steps
from handlers.outgoing.retries import requested_wait_ms, scheduled_wait_ms
from storage.clock import Millis
from storage.records.integration import OutgoingHook

_JSON_TYPES = frozenset({"application/json", "text/javascript", "application/javascript", "application/x-javascript"})
_ASKS_TO_WAIT = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})

_TOO_LONG = "The answer is longer than 64 KiB, so it was not posted; answer with less."
_GONE = "The receiver answered 410 Gone, so the webhook was disabled; enable it when the address works again."


@dataclass(frozen=True, slots=True)
class Delivered:
    """The receiver took it; `post` is the message it answered with, `note` why an answer is not posted."""

    step: str
    post: Mapping[str, object] | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Retry:
    """It failed and is tried again after a while."""

    step: str
    after_ms: int
    why: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """It failed for good; `disable` says that the hook is to be disabled as well."""

    step: str
    why: str
    disable: bool = False


Outcome = Delivered | Retry | Rejected


def judge(hook: OutgoingHook, end: Answered | Failed | Refused, *, tries: int, now: Millis) -> Outcome:
    """Say what becomes of a delivery whose call ended this way after `tries` earlier attempts."""
    match end:
        case Answered():
            return _judge_answer(hook, end, tries, now)
        case Failed():
            return _after_failure(hook, end.message, tries, requested_ms=0)
        case Refused():
            return Rejected(steps.AFTER_HTTP_CALL, end.message)


def _judge_answer(hook: OutgoingHook, answer: Answered, tries: int, now: Millis) -> Outcome:
    if 200 <= answer.status < 300:
        return _delivered(answer)
    if answer.status == HTTPStatus.GONE:
        return Rejected(steps.GONE, _GONE, disable=True)
    why = f"The receiver answered {answer.status}."
    if answer.status == HTTPStatus.INTERNAL_SERVER_ERROR and answer.body:
        return Rejected(steps.RECEIVER_BROKEN, why)
    retry_after = answer.headers.get("retry-after", "") if answer.status in _ASKS_TO_WAIT else ""
    return _after_failure(hook, why, tries, requested_ms=requested_wait_ms(retry_after, now))


def _delivered(answer: Answered) -> Delivered:
    media_type = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    if answer.truncated:
        return Delivered(steps.AFTER_HTTP_CALL, note=_TOO_LONG)
    if not answer.body or media_type not in _JSON_TYPES:
        return Delivered(steps.AFTER_HTTP_CALL)
    content = parse_json(answer.body.removeprefix(BOM_UTF8), what="The answer")
    if isinstance(content, BodyFault):
        return Delivered(steps.AFTER_HTTP_CALL, note=content.text)
    if isinstance(content, dict) and (content.get("text") or content.get("attachments")):
        return Delivered(steps.RESPONSE_POSTED, post=content)
    return Delivered(steps.AFTER_HTTP_CALL)


def _after_failure(hook: OutgoingHook, why: str, tries: int, *, requested_ms: int) -> Retry | Rejected:
    if not hook.retry_failed_calls:
        return Rejected(steps.NO_RETRIES_WANTED, why)
    if tries >= (hook.retry_count or 0):
        return Rejected(steps.TOO_MANY_RETRIES, why)
    scheduled_ms = scheduled_wait_ms(hook.retry_delay, tries)
    if scheduled_ms is None:
        return Rejected(steps.RETRY_DELAY_INVALID, why)
    return Retry(steps.going_to_retry(tries + 1), max(scheduled_ms, requested_ms), why)
