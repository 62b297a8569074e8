"""Logs: one JSON object a line, whatever a stranger managed to get into it (decision 27, `security.md` §4)."""

import json
import logging
from collections.abc import Iterator
from io import StringIO
from typing import Any  # lines are parsed JSON

import pytest
import structlog

from bot.log import configure

HOSTILE = "a\nb\r\x1b[31mred\x1b[0m\u2028\u2029\u202e\x00\x9b31m\ud800é"


@pytest.fixture
def output() -> Iterator[StringIO]:
    """What is logged; afterwards the process logs as before."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    stream = StringIO()
    root.handlers = []  # pytest's own would be closed by a new configuration
    configure("info", stream)
    yield stream
    root.handlers, root.level = before, level
    structlog.reset_defaults()


def lines(output: StringIO) -> list[dict[str, Any]]:
    """Return what stands on each line."""
    return [json.loads(line) for line in output.getvalue().splitlines()]


def test_hostile_text_stays_on_its_line(output: StringIO) -> None:
    """Control characters, line separators and half characters are escaped in keys, values and library messages."""
    structlog.get_logger().info("request", route=HOSTILE, **{HOSTILE: 1})
    logging.getLogger("library").warning("peer said %s", HOSTILE)
    text = output.getvalue()
    assert text.isascii()
    assert all(character.isprintable() or character == "\n" for character in text)
    first, second = lines(output)
    assert (first["route"], first[HOSTILE], first["event"], first["level"]) == (HOSTILE, 1, "request", "info")
    assert (second["event"], second["level"]) == (f"peer said {HOSTILE}", "warning")
    assert first["timestamp"].endswith("Z")


def test_a_traceback_is_one_line(output: StringIO) -> None:
    """A fault's trace stays within its object, from our code and from a library."""
    try:
        raise ValueError(HOSTILE)
    except ValueError:
        structlog.get_logger().exception("unexpected fault", request_id="r1")
        logging.getLogger("library").exception("failed")
    ours, theirs = lines(output)
    assert (ours["request_id"], ours["level"]) == ("r1", "error")
    for line in (ours, theirs):
        assert "ValueError" in line["exception"]


def test_libraries_are_heard_from_warnings_on(output: StringIO) -> None:
    """Our own lines begin at the level asked for, those of libraries at warning, whatever is asked for."""
    structlog.get_logger().debug("too quiet")
    structlog.get_logger().info("ours")
    logging.getLogger("library").info("too quiet")
    logging.getLogger("library").warning("theirs")
    assert [line["event"] for line in lines(output)] == ["ours", "theirs"]
