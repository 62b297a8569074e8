"""Structured logs: one JSON object a line on standard error (decision 27)."""

import asyncio
import logging
import sys
from collections.abc import Callable
from typing import TextIO

import structlog

SELDOM_S = 60.0


def configure(level: str, stream: TextIO | None = None) -> None:
    """Set up structlog, and send what libraries log through the same shape."""
    target = stream or sys.stderr
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    # ASCII output also keeps line separators and escape codes out of the operator's terminal (security.md §4)
    render = structlog.processors.JSONRenderer(ensure_ascii=True)
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[*shared, render],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(target),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(target)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render]
        )
    )
    logging.basicConfig(handlers=[handler], level=max(number, logging.WARNING), force=True)


class Seldom:
    """Says what strangers can make happen ever so often: at once, then every `every_s` seconds how often it was."""

    def __init__(self, say: Callable[..., object], event: str, *, every_s: float = SELDOM_S) -> None:
        self._say = say
        self._event = event
        self._every_s = every_s
        self._times = 0
        self._last: dict[str, object] = {}
        self._timer: asyncio.TimerHandle | None = None

    def happened(self, **last: object) -> None:
        """Count it; `last` says more about the latest time."""
        self._times += 1
        self._last = last
        if self._timer is None:
            self._tell()

    def _tell(self) -> None:
        self._timer = None
        if self._times:
            self._say(self._event, times=self._times, **self._last)
            self._times = 0
            self._timer = asyncio.get_running_loop().call_later(self._every_s, self._tell)
