"""What an import would do: each entry of the file beside the hook that is stored, field by field."""

import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from handlers.line import one_line
from handlers.portable.columns import COLUMNS, MASK, REQUIRED, Column, Kind
from handlers.portable.reading import Entry, Refused
from handlers.portable.values import Value, is_masked, kept_keys, kept_urls, masked_url, time_of, value_of
from handlers.signing.standard_webhooks import KeyFault, new_key, parse_key
from storage.clock import Millis
from storage.ids import ROCKET_CAT, IntegrationId, OrgId, hook_token, integration_id
from storage.records.integration import Actor, Direction, Hook, IncomingHook, OutgoingHook, SigningKey

_TOKEN = re.compile(r"[A-Za-z0-9_-]{20,200}")
"""What an incoming hook's token may be: part of an address, and nothing one could guess."""
_SHOWN = 80


@dataclass(frozen=True, slots=True)
class Change:
    """One field that becomes something else; of a secret neither side is told."""

    key: str
    before: str
    after: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What becomes of one hook."""

    entry: Entry
    hook: Hook = field(repr=False)
    """As it will be, before the workspace's rules have judged it."""
    before: Hook | None = field(repr=False)
    """As it is stored; None for a new one."""
    changes: tuple[Change, ...] = ()
    made: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Secrets that were made for a new hook, by their key: shown once."""

    @property
    def unchanged(self) -> bool:
        return self.before is not None and not self.changes


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportPlan:
    """What a whole file would do; with anything refused, nothing is done."""

    steps: tuple[Step, ...] = ()
    refused: tuple[Refused, ...] = ()

    @property
    def stale(self) -> bool:
        """Tell whether only hooks that changed since the export stand in the way."""
        return bool(self.refused) and all(one.stale for one in self.refused)

    @property
    def new(self) -> tuple[Step, ...]:
        return tuple(step for step in self.steps if step.before is None)

    @property
    def changed(self) -> tuple[Step, ...]:
        return tuple(step for step in self.steps if step.before is not None and step.changes)

    @property
    def unchanged(self) -> int:
        return sum(step.unchanged for step in self.steps)

    @property
    def version(self) -> int:
        """Return a number that differs once a hook this is about was changed, made or removed meanwhile."""
        seen = [f"{step.entry.line} {step.before and (step.before.id, step.before.version)}" for step in self.steps]
        return zlib.crc32("\n".join(seen).encode())


def planned(
    entry: Entry, stored: Hook | None, *, org: OrgId, by: Actor, now: Millis, overwrite: bool
) -> Step | Refused:
    """Return what an entry makes of the stored hook, or of nothing; `by` has made what says no other maker."""
    if stored is None:
        return _new(entry, org, by, now)
    read = _read(entry, stored)
    if isinstance(read, Refused):
        return read
    hook = replace(stored, **{key: value for key, value in read.items() if key not in ("created_by", "created_at")})
    changes = _changes(entry, stored, hook)
    version = entry.values.get("version")
    if changes and isinstance(version, int) and version != stored.version and not overwrite:
        return Refused(
            entry.at("version"),
            f"{one_line(stored.name)} changed since this was written: version {version} here, {stored.version} stored.",
            stale=True,
        )
    if moved := next((c for c in COLUMNS[entry.way] if c.fixed and any(c.key == ch.key for ch in changes)), None):
        return Refused(entry.at(moved.key), f"{moved.key} stays what it is; remove the hook and make a new one.")
    return Step(entry=entry, hook=hook, before=stored, changes=changes)


def _new(entry: Entry, org: OrgId, by: Actor, now: Millis) -> Step | Refused:
    missing = [key for key in REQUIRED[entry.way] if not entry.values.get(key)]
    if missing and not (missing == ["rooms"] and "rooms" in entry.values):
        return Refused(entry.line, f"A new hook needs {' and '.join(missing)}.")
    plain = _plain(entry.way, org, by, now)
    made: dict[str, str] = {}
    if entry.values.get("token", MASK) == MASK:
        plain = replace(plain, token=hook_token())
        made["token"] = plain.token or ""
    if isinstance(plain, IncomingHook) and entry.values.get("secret") == MASK:
        made["secret"] = new_key()
        plain = replace(plain, secret=made["secret"])
    if isinstance(plain, OutgoingHook) and _masks_keys(entry):
        made["signing key"] = new_key()
        plain = replace(plain, signing_keys=(SigningKey(key=made["signing key"]),))
        entry = replace(entry, values={key: value for key, value in entry.values.items() if key != "signing_keys"})
    read = _read(entry, plain)
    if isinstance(read, Refused):
        return read
    maker = read.pop("created_by", None)
    hook = replace(plain, **read)
    # who the maker is here, the directory knows; until then the name alone stands
    version = entry.values.get("version")
    # counted on from there, so that a file of before and one of after the restoring differ
    hook = replace(hook, version=version if isinstance(version, int) else 1)
    return Step(entry=entry, hook=replace(hook, created_by=(by[0], str(maker or by[1]))), before=None, made=made)


def _plain(way: Direction, org: OrgId, by: Actor, now: Millis) -> Hook:
    """Return a hook as `in add` and `out add` make it when nothing else is said (decision 42)."""
    shared: dict[str, Any] = {  # Any: fields of many types, as in the record
        "id": integration_id(),
        "org_id": org,
        "name": "",
        "enabled": True,
        "username": str(ROCKET_CAT),
        "user_id": ROCKET_CAT,
        "channels": (),
        "token": None,
        "created_at": now,
        "created_by": by,
        "updated_at": now,
    }
    if way is Direction.INCOMING:
        return IncomingHook(**shared)
    retries = {"retry_failed_calls": True, "retry_count": 6, "retry_delay": "powers-of-ten"}
    return OutgoingHook(**shared, **retries, event="", urls=())  # type: ignore[arg-type] # as above


def _masks_keys(entry: Entry) -> bool:
    """Tell whether the file has signing keys and does not tell them."""
    given = entry.values.get("signing_keys")
    return isinstance(given, tuple) and any(text.partition(" ")[0] == MASK for text in given)


def _read(entry: Entry, stored: Hook) -> dict[str, Any] | Refused:  # Any: fields of many types, as in the record
    """Return the fields an entry sets, masked secrets as they are stored."""
    found: dict[str, Any] = {}
    for column in COLUMNS[entry.way]:
        if column.key == "version" or column.key not in entry.values:
            continue
        value = _field(column, entry.values[column.key], stored)
        if isinstance(value, _Wrong):
            return Refused(entry.at(column.key), f"{column.key} {value.text}.")
        found[column.attribute] = value
    return found


@dataclass(frozen=True, slots=True)
class _Wrong:
    text: str


def _field(column: Column, value: Value, stored: Hook) -> object:
    match column.kind:
        case Kind.TIME:
            return time_of(str(value)) if value is not None else None
        case Kind.ADDRESSES if isinstance(value, tuple):
            return _kept(kept_urls(value, stored.urls if isinstance(stored, OutgoingHook) else ()))
        case Kind.KEYS if isinstance(value, tuple):
            return _keys(value, stored)
    if column.secret and value == MASK:
        kept: str | None = getattr(stored, column.attribute)
        return _Wrong(f"is {MASK}, and none is stored; write it, or null") if kept is None else kept
    if column.key == "token" and isinstance(stored, IncomingHook) and not _TOKEN.fullmatch(str(value)):
        return _Wrong("takes 20 to 200 letters, digits, - and _")
    if column.key == "id":
        return IntegrationId(str(value))
    return value


def _keys(value: tuple[str, ...], stored: Hook) -> object:
    has = stored.signing_keys if isinstance(stored, OutgoingHook) else ()
    keys = kept_keys(value, has)
    if isinstance(keys, str):
        return _Wrong(keys)
    fault = next((fault for key in keys if isinstance(fault := parse_key(key.key), KeyFault)), None)
    return keys if fault is None else _Wrong("holds something that is no signing key (whsec_ and base64)")


def _kept(found: tuple[str, ...] | str) -> object:
    return _Wrong(found) if isinstance(found, str) else found


def _changes(entry: Entry, before: Hook, after: Hook) -> tuple[Change, ...]:
    found = []
    for column in COLUMNS[entry.way]:
        if column.origin or column.key == "version":
            continue
        if getattr(before, column.attribute) != getattr(after, column.attribute):
            old, new = (value_of(hook, column, masked=True) for hook in (before, after))
            same = old == new  # masked on both sides
            found.append(Change(column.key, _shown(old), "another one" if same else _shown(new)))
    return tuple(found)


def _shown(value: Value) -> str:
    match value:
        case None | ():
            return "none"
        case bool():
            return "yes" if value else "no"
        case tuple():
            return one_line(", ".join(value), _SHOWN)
        case _:
            return one_line(str(value), _SHOWN) or "(empty)"


def tells_secrets(plan: ImportPlan) -> bool:
    """Tell whether the file itself holds any secret, rather than what stands for one."""
    return any(
        column.secret and not _is_hidden(step.entry.values.get(column.key))
        for step in plan.steps
        for column in COLUMNS[step.entry.way]
    )


def _is_hidden(value: Value) -> bool:
    if isinstance(value, tuple):
        return all(is_masked(text) or masked_url(text) == text or text.startswith(f"{MASK} ") for text in value)
    return value is None or value == MASK
