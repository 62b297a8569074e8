"""Import: a file beside what is stored, judged by the rules of every other door, written as one unit (decision 67)."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from types import MappingProxyType
from typing import Final

from bot.workspace.directory import Directory
from bot.workspace.fanout import Fanout
from bot.workspace.hook_forms import IncomingForm, OutgoingForm
from bot.workspace.hook_options import Options, apply_options
from bot.workspace.hook_rules import SCRIPTS_DISABLED, HookRules, Verdict
from bot.workspace.hooks import RESERVED_NAME, is_reserved
from handlers.acting import may_act_as
from handlers.errors import Fault
from handlers.formatter import available
from handlers.line import one_line
from handlers.permissions import may_manage, permissions
from handlers.portable.nodes import DocumentFault
from handlers.portable.planning import ImportPlan, Step, planned
from handlers.portable.reading import Document, Entry, Refused, read_document
from storage.clock import Clock
from storage.errors import Taken
from storage.ids import timed_id
from storage.ports import Ledger
from storage.records.audit import AuditRow
from storage.records.changes import Changes, merge
from storage.records.event import EventKind
from storage.records.integration import Direction, Hook, IncomingHook, OutgoingHook, direction
from storage.records.user import User

AT_ONCE: Final = 20
"""Hooks judged before others get their turn."""

CHANGED_MEANWHILE: Final = "Somebody else changed one of these hooks meanwhile; nothing was imported. Look and repeat."

_KEYS: Final = MappingProxyType(
    {
        "error-invalid-channel": "rooms",
        "error-invalid-channel-start-with-chars": "rooms",
        "error-invalid-room": "rooms",
        "error-invalid-username": "post_as",
        "error-invalid-user": "post_as",
        "error-invalid-post-as-user": "post_as",
        "error-invalid-urls": "urls",
        "error-invalid-event-type": "event",
        "error-invalid-targetRoom": "target_room",
        "error-invalid-token": "token",
        "error-invalid-name": "name",
    }
)
"""Which key of the file a rule's refusal is about, by its code (`rocketchat.md` §4.1)."""


@dataclass(frozen=True, slots=True)
class _Found:
    """The stored hook an entry is about: None for a new one."""

    hook: Hook | None


class Importing:
    """Plans without changing anything, then writes a plan whole or not at all; never writes a user."""

    def __init__(self, directory: Directory, store: Ledger, fanout: Fanout, clock: Clock, rules: HookRules) -> None:
        self._directory = directory
        self._store = store
        self._fanout = fanout
        self._clock = clock
        self._rules = rules

    async def plan(self, actor: User, text: str, *, overwrite: bool = False) -> ImportPlan | DocumentFault:
        """Say what a file would do for this caller; `overwrite` also what changed since it was written."""
        # a large file takes a while to read, and nobody else should wait for it
        document = await asyncio.to_thread(read_document, text)
        if isinstance(document, DocumentFault):
            return document
        steps: list[Step] = []
        refused = [*document.refused, *_twice(document)]
        stored = _Stored(await self._directory.hooks())
        for number, entry in enumerate(document.entries):
            if number % AT_ONCE == 0:
                await asyncio.sleep(0)
            found = _about(entry, stored, actor)
            step = found if isinstance(found, Refused) else await self._step(actor, entry, found.hook, overwrite)
            if isinstance(step, Refused):
                refused.append(step)
            else:
                steps.append(step)
        refused += await self._too_many(steps)
        return ImportPlan(steps=tuple(steps), refused=tuple(refused))

    async def _too_many(self, steps: Sequence[Step]) -> list[Refused]:
        """Return a refusal for each user who would have made too many, at the first hook that would be theirs."""
        new = [step for step in steps if step.before is None]
        refused = []
        for maker, count in Counter(step.hook.created_by[0] for step in new).items():
            if fault := await self._rules.may_have_more(maker, count):
                first = next(step.entry for step in new if step.hook.created_by[0] == maker)
                refused.append(_refused(first, fault))
        return refused

    async def carry_out(self, actor: User, plan: ImportPlan, also: Changes) -> str | None:
        """Write everything and `also` in one unit of work; return why not as a sentence, or None.

        Beside the audit row in `also` each hook gets its own, so that its history names the import.
        """
        parts = [self._written(actor, step) for step in (*plan.new, *plan.changed)]
        rows = tuple(_row_of(step, row, self._clock) for step in (*plan.new, *plan.changed) for row in also.audit)
        try:
            await self._store.commit(merge(*parts, Changes(audit=rows), also))
        except Taken:
            self._directory.clear()
            return CHANGED_MEANWHILE
        return None

    def _written(self, actor: User, step: Step) -> Changes:
        fact = self._fanout.plain(EventKind.INTEGRATION_CHANGED, actor, {"id": step.hook.id, "name": step.hook.name})
        if step.before is None:
            return Changes(new_hooks=(step.hook,), facts=(fact,))
        stamped = replace(
            step.hook,
            updated_at=self._clock.now(),
            updated_by=(actor.id, actor.username),
            version=step.before.version + 1,
        )
        return Changes(put_hooks=(stamped,), facts=(fact,))

    # --- one entry ----------------------------------------------------------------------------------

    async def _step(self, actor: User, entry: Entry, before: Hook | None, overwrite: bool) -> Step | Refused:
        if before is not None and before.damaged:
            return Refused(entry.at("id"), "What is sealed of this hook is damaged; remove it first, then import.")
        by = (actor.id, actor.username)
        step = planned(entry, before, org=self._directory.org, by=by, now=self._clock.now(), overwrite=overwrite)
        if isinstance(step, Refused) or step.unchanged:
            return step
        if before is not None:
            return await self._judged(actor, step, None)
        maker = await self._directory.user_named(step.hook.created_by[1]) or actor
        if not may_act_as(actor, maker, entry.way):
            text = f"{one_line(maker.username)} has a higher role than you; leave it out, and the hook runs as yours."
            return Refused(entry.at("made_by"), f"made_by: {text}")
        step = replace(step, hook=replace(step.hook, created_by=(maker.id, maker.username)))
        return await self._judged(actor, step, maker)

    async def _judged(self, actor: User, step: Step, maker: User | None) -> Step | Refused:
        entry, hook, before = step.entry, step.hook, step.before
        if (before is None or before.name != hook.name) and is_reserved(hook.name):
            return _refused(entry, RESERVED_NAME)
        fault = _settings_fault(hook, before, step)
        if fault is not None:
            return Refused(entry.at(fault[0]), f"{fault[0]}: {fault[1]}")
        verdict = await self._verdict(actor, hook, before, maker)
        if isinstance(verdict, Fault):
            return _refused(entry, verdict)
        poster = {"username": verdict.poster.username, "user_id": verdict.poster.id} if before is None else {}
        if isinstance(hook, OutgoingHook):
            poster = {"username": verdict.poster.username, "user_id": verdict.poster.id}
        judged = replace(hook, channels=verdict.channels, **poster)  # type: ignore[arg-type] # two ids by their names
        return replace(step, hook=judged)

    async def _verdict(self, actor: User, hook: Hook, before: Hook | None, maker: User | None) -> Verdict:
        """Judge as every other door does; `maker` is whose a new hook will be."""
        if isinstance(hook, IncomingHook):
            form = _incoming_form(hook)
            if before is None:
                return await self._rules.may_create_incoming(actor, form, maker)
            return await self._rules.may_update_incoming(actor, form, before)
        wanted = _outgoing_form(hook)
        if before is None:
            return await self._rules.may_create_outgoing(actor, wanted, maker)
        return await self._rules.may_update_outgoing(actor, wanted, before)


class _Stored:
    """The hooks there are, by id and by direction and name."""

    def __init__(self, hooks: Sequence[Hook]) -> None:
        self.by_id = {str(hook.id): hook for hook in hooks}
        self.by_name: dict[tuple[Direction, str | None], list[Hook]] = {}
        for hook in hooks:
            self.by_name.setdefault((direction(hook), hook.name), []).append(hook)


def _about(entry: Entry, stored: _Stored, actor: User) -> _Found | Refused:
    """Find the hook an entry means: by its id, else by its name where no id is given."""
    if hook_id := entry.text("id"):
        hook = stored.by_id.get(hook_id)
    else:
        named = stored.by_name.get((entry.way, entry.text("name")), [])
        if len(named) > 1:
            return Refused(entry.at("name"), f"{len(named)} hooks have this name; say which by its id.")
        hook = named[0] if named else None
    if hook is None:
        return _Found(None)
    if direction(hook) is not entry.way or not may_manage(permissions(actor), actor.id, hook):
        return Refused(entry.at("id"), "This id belongs to something else; leave it out for a new hook.")
    return _Found(hook)


def _settings_fault(hook: Hook, before: Hook | None, step: Step) -> tuple[str, str] | None:
    """Return what the rules of settings beyond REST object to, and under which key."""
    if not isinstance(hook, IncomingHook):
        return None
    was = before if isinstance(before, IncomingHook) else None
    if hook.format not in _formats():
        return "format", f"known are {', '.join(_formats())}."
    asked: Mapping[str, Options] = {
        "dedup": Options(dedup=hook.dedup),
        "secret": Options(secret=hook.secret),
    }
    for key, options in asked.items():
        if was is not None and getattr(was, key) == getattr(hook, key):
            continue
        judged = apply_options(hook, options, hook.updated_at)
        if isinstance(judged, Fault):
            return key, judged.bracketed
    return None


@cache
def _formats() -> tuple[str, ...]:
    return tuple(available())


def _shared(hook: Hook) -> dict[str, object]:
    return {
        "name": hook.name,
        "enabled": hook.enabled,
        "username": hook.username,
        "channel": ",".join(hook.channels),
        "alias": hook.alias,
        "avatar": hook.avatar,
        "emoji": hook.emoji,
        "script_enabled": hook.script_enabled,
        "script": hook.script,
        "script_engine": hook.script_engine,
    }


def _incoming_form(hook: IncomingHook) -> IncomingForm:
    return IncomingForm(**_shared(hook), override_destination=hook.override_destination)  # type: ignore[arg-type] # by name


def _outgoing_form(hook: OutgoingHook) -> OutgoingForm:
    return OutgoingForm(
        **_shared(hook),  # type: ignore[arg-type] # fields of the same names
        event=hook.event,
        urls=hook.urls,
        target_room=hook.target_room,
        trigger_words=hook.trigger_words,
        trigger_word_anywhere=hook.trigger_word_anywhere,
        token=hook.token,
        run_on_edits=hook.run_on_edits,
        impersonate_user=hook.impersonate_user,
        retry_failed_calls=hook.retry_failed_calls,
        retry_count=hook.retry_count,
        retry_delay=hook.retry_delay,
    )


def _twice(document: Document) -> list[Refused]:
    """Return the entries that want one hook to become two things."""
    ids = Counter(entry.text("id") for entry in document.entries)
    names = Counter((entry.way, entry.text("name")) for entry in document.entries if entry.text("id") is None)
    return [
        Refused(entry.line, "This hook stands in the file twice.")
        for entry in document.entries
        if (entry.text("id") and ids[entry.text("id")] > 1)
        or (entry.text("id") is None and names[(entry.way, entry.text("name"))] > 1)
    ]


def _refused(entry: Entry, fault: Fault) -> Refused:
    """Say a rule's refusal at the line of the key it is about; details may hold more than a line should."""
    key = "script" if fault == SCRIPTS_DISABLED else _KEYS.get(fault.code or "")
    details = dict(fault.details or {})
    more = f" {details['message']}" if "message" in details else ""
    more += f" See the setting {details['setting']}." if "setting" in details else ""
    where = f"{key}: " if key else ""
    return Refused(entry.at(key or "name"), f"{where}{fault.bracketed}{more}")


def _row_of(step: Step, row: AuditRow, clock: Clock) -> AuditRow:
    return replace(
        row,
        id=timed_id(clock.now()),
        object_kind="incoming hook" if isinstance(step.hook, IncomingHook) else "outgoing hook",
        object_id=step.hook.id,
        object_name=step.hook.name,
    )
