"""Read the values of arguments and flags: numbers, durations, sizes and times (commands.md §2.1)."""

import re
from datetime import datetime, time, timedelta, tzinfo
from enum import StrEnum

from storage.clock import Millis

Value = bool | int | str | tuple[str, ...]
"""What a command receives: durations and times in milliseconds, sizes in bytes."""


class ValueType(StrEnum):
    """What an argument or flag takes, in the word its error names."""

    SWITCH = "nothing"
    TEXT = "a text"
    LIST = "a list: a,b,c"
    REFERENCE = "an id, a name, or the beginning of a name"
    ROOM = "a room: #name"
    USER = "a person: @name"
    NUMBER = "a whole number from 1"
    DURATION = "a duration: 90s, 15m, 24h or 7d"
    SIZE = "a size: 512KB or 4MB"
    TIME = "a time: 2026-03-02, 2026-03-02T09:14, today, yesterday or -2h"


_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_BYTES = {"b": 1, "kb": 1 << 10, "mb": 1 << 20, "gb": 1 << 30}


def read_value(kind: ValueType, text: str, *, now: Millis, zone: tzinfo) -> Value | None:
    """Return what a text says as a value of a kind; None when it is not one."""
    match kind:
        case ValueType.NUMBER:
            return _number(text)
        case ValueType.DURATION:
            return _duration(text)
        case ValueType.SIZE:
            return _measured(text, _BYTES)
        case ValueType.TIME:
            return _time(text, now, zone)
        case ValueType.ROOM:
            return text if text.startswith("#") and len(text) > 1 else None
        case ValueType.USER:
            return text if text.startswith("@") and len(text) > 1 else None
        case ValueType.LIST:
            return tuple(filter(None, text.split(","))) or None
        case _:
            return text or None


def _number(text: str) -> int | None:
    return int(text) if re.fullmatch("[1-9][0-9]{0,8}", text) else None


def _duration(text: str) -> int | None:
    seconds = _measured(text, _SECONDS)
    return None if seconds is None else seconds * 1_000


def _measured(text: str, units: dict[str, int]) -> int | None:
    found = re.fullmatch("([1-9][0-9]{0,8})([A-Za-z]+)", text)
    unit = units.get(found[2].lower()) if found else None
    return int(found[1]) * unit if found and unit else None


def _time(text: str, now: Millis, zone: tzinfo) -> int | None:
    try:
        here = datetime.fromtimestamp(now / 1000, zone)
        midnight = datetime.combine(here.date(), time(), zone)
        match text.lower():
            case "today":
                return _millis(midnight)
            case "yesterday":
                return _millis(datetime.combine(here.date() - timedelta(days=1), time(), zone))
        if text.startswith("-"):
            ago = _duration(text.lstrip("-"))  # a phone's minus was read as two dashes
            return None if ago is None else now - ago
        moment = datetime.fromisoformat(text)
        return _millis(moment if moment.tzinfo else moment.replace(tzinfo=zone))
    except (ValueError, OverflowError):
        return None


def _millis(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)
