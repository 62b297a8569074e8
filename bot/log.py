"""Structured logs: one JSON object a line on standard error (decision 27)."""

import logging
import sys
from typing import TextIO

import structlog
from aiohttp.http_exceptions import HttpProcessingError


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


def of_server() -> logging.Logger:
    """Return the logger of aiohttp's server; whoever writes its records down, they quote no request."""
    logger = logging.getLogger("aiohttp.server")
    logger.addFilter(_name_only)
    return logger


def _name_only(record: logging.LogRecord) -> bool:
    """Keep only the name of a malformed request's fault: its text quotes what was sent (`security.md` §3)."""
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, HttpProcessingError):
        record.msg, record.args = f"{record.getMessage()}: {type(error).__name__}", ()
        record.exc_info = record.exc_text = None
    return True
