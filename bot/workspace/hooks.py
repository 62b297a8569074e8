"""Integrations: who may make, see, change and remove which hooks (`rocketchat.md` §4.1-§4.5, §5.5)."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Protocol

from bot.workspace.directory import Directory
from bot.workspace.fanout import Fanout
from bot.workspace.hook_forms import Body, IncomingForm, OutgoingForm, incoming_form, outgoing_form, zapier_form
from bot.workspace.hook_options import Options, apply_options
from bot.workspace.hook_records import (
    Stamp,
    new_incoming,
    new_outgoing,
    updated_incoming,
    updated_outgoing,
    with_room_renamed,
)
from bot.workspace.hook_rules import HookRules, ownership_fault
from handlers.command import Commands, load_commands
from handlers.errors import NOT_PERMITTED, Fault
from handlers.permissions import MANAGE_ANY, may_manage, permissions, sees_all, visible
from handlers.targets import AllowList
from storage.clock import Clock
from storage.errors import Taken
from storage.ids import IntegrationId
from storage.ports import Integrations, Ledger
from storage.records.changes import NOTHING, Changes, Fact, merge
from storage.records.event import EventKind
from storage.records.integration import Direction, Hook, IncomingHook, OutgoingHook, direction
from storage.records.user import User

NOT_FOUND = Fault("No integration found.")
WRONG_TYPE = Fault("Invalid integration type.")
UNAUTHORIZED = Fault("Unauthorized", "not_authorized")
RESERVED_NAME = Fault("Invalid name: it is a word of the commands", "error-invalid-name")
"""Typed alone, such a name would never show the hook (decision 58); the contract's own rules are judged before."""


class HookStore(Integrations, Ledger, Protocol):
    """Where hooks are found by address and written."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """A hook as it will be (removed: as it was) and what writes that."""

    hook: Hook
    changes: Changes


class Hooks:
    """Each method judges by the caller's permissions, then commits one unit of work."""

    def __init__(self, directory: Directory, store: HookStore, fanout: Fanout, clock: Clock, allow: AllowList) -> None:
        self._directory = directory
        self._store = store
        self._fanout = fanout
        self._clock = clock
        self._rules = HookRules(directory, allow)

    # --- looking (§4.2, §4.3) -----------------------------------------------------------------------

    @staticmethod
    def may_see_any(actor: User) -> bool:
        """Tell whether the routes of list and remove let this caller in: any of the four permissions."""
        return not permissions(actor).isdisjoint(MANAGE_ANY)

    async def visible(self, actor: User) -> list[Hook]:
        """Return the hooks in this caller's list, oldest first (§4.2)."""
        return _seen(await self._directory.hooks(), actor)

    async def visible_by_name(self, actor: User) -> list[Hook]:
        """Return the same hooks as people read them, by name."""
        return _seen(await self._directory.hooks_by_name(), actor)

    async def get(self, actor: User, hook_id: str, created_by: str | None = None) -> Hook | Fault:
        """Return one hook, made by `created_by` if that is given (§4.3)."""
        if not hook_id:
            return Fault('The query parameter "integrationId" is required.')
        hook = await self._find(hook_id)
        if hook is None or (created_by and hook.created_by[0] != created_by):
            return Fault("The integration does not exists.")
        if not may_manage(permissions(actor), actor.id, hook):
            return Fault("not-authorized")
        return hook

    # --- making and changing (§4.1, §4.4) -----------------------------------------------------------

    async def create(self, actor: User, body: Body, also: Changes = NOTHING) -> Hook | Fault:
        """Make a hook from a body that passed the schema (§4.1); `also` is written with it or not at all."""
        match body.get("type"):
            case Direction.INCOMING.value:
                return await self._write(lambda: self._create_incoming(actor, incoming_form(body)), also)
            case Direction.OUTGOING.value:
                return await self._write(lambda: self._create_outgoing(actor, outgoing_form(body)), also)
            case _:
                return WRONG_TYPE

    async def update(self, actor: User, body: Body, also: Changes = NOTHING) -> Hook | Fault:
        """Change a hook to what a body says (§4.4)."""
        return await self._write(lambda: self._update(actor, body), also)

    async def edit(self, actor: User, hook_id: str, options: Options, also: Changes = NOTHING) -> Hook | Fault:
        """Set what the REST schema does not know (decision 35)."""
        return await self._write(lambda: self._edit(actor, hook_id, options), also)

    async def remove(self, actor: User, body: Body, also: Changes = NOTHING) -> Hook | Fault:
        """Remove a hook and return it as it was; its stored direction must be the one named (§4.5, decision 10)."""
        hook = await self._named(actor, body)
        return hook if isinstance(hook, Fault) else await self._remove(actor, hook, also)

    # --- Zapier's routes (§5.5) ---------------------------------------------------------------------

    async def add_zapier(self, hook: Hook, body: Body) -> Hook | Fault:
        """Make an outgoing hook for whoever knows an incoming one, with its posting user's rights (decision 38)."""
        poster = await self._directory.user(hook.user_id)
        if poster is None:
            return UNAUTHORIZED
        form = zapier_form(body)
        if isinstance(form, Fault):
            return form
        return await self._write(lambda: self._create_outgoing(poster, form))

    async def remove_zapier(self, hook: Hook, body: Body) -> Hook | Fault:
        """Remove the outgoing hook that calls `target_url`, with the posting user's rights (decision 38)."""
        poster = await self._directory.user(hook.user_id)
        if poster is None:
            return UNAUTHORIZED
        if not self.may_see_any(poster):  # else the answer would tell which addresses are called (decision 31)
            return NOT_PERMITTED
        found = await self._calling(poster, body.get("target_url"))
        return Fault("integration-not-found") if found is None else await self._remove(poster, found)

    # --- what else changes hooks --------------------------------------------------------------------

    def disable(self, hook: Hook, by: User, reason: str) -> Changes:
        """Return what switches a hook off: an answer 410 (§7.1), a posting user deactivated (decision 24)."""
        off = replace(hook, enabled=False, updated_at=self._clock.now(), version=hook.version + 1)
        return Changes(put_hooks=(off,), facts=(self._changed(off, by, reason=reason),))

    async def rename_room(self, old: str, new: str, actor: User) -> tuple[Hook, ...]:
        """Return the hooks that name a room, with its new name, for the commit that renames it (decision 25)."""
        now = self._clock.now()
        return tuple(
            replace(found, updated_at=now, updated_by=(actor.id, actor.username), version=hook.version + 1)
            for hook in await self._directory.hooks()
            if (found := with_room_renamed(hook, old, new)) != hook
        )

    # --- plans: judged and built from what is stored now --------------------------------------------

    async def _create_incoming(self, actor: User, form: IncomingForm) -> _Plan | Fault:
        approved = await self._rules.may_create_incoming(actor, form)
        if isinstance(approved, Fault):
            return approved
        if _is_reserved(form.name):
            return RESERVED_NAME
        hook = new_incoming(form, approved, self._stamp(actor))
        poster = approved.poster
        bot = () if poster.is_bot else (replace(poster, is_bot=True),)
        return _Plan(hook, Changes(new_hooks=(hook,), put_users=bot, facts=(self._changed(hook, actor),)))

    async def _create_outgoing(self, actor: User, form: OutgoingForm) -> _Plan | Fault:
        approved = await self._rules.may_create_outgoing(actor, form)
        if isinstance(approved, Fault):
            return approved
        if _is_reserved(form.name):
            return RESERVED_NAME
        hook = new_outgoing(form, approved, self._stamp(actor))
        return _Plan(hook, Changes(new_hooks=(hook,), facts=(self._changed(hook, actor),)))

    async def _update(self, actor: User, body: Body) -> _Plan | Fault:
        hook = await self._named(actor, body)
        match hook:
            case IncomingHook():
                return await self._update_incoming(actor, hook, incoming_form(body))
            case OutgoingHook():
                return await self._update_outgoing(actor, hook, outgoing_form(body))
            case Fault():
                return hook

    async def _update_incoming(self, actor: User, hook: IncomingHook, form: IncomingForm) -> _Plan | Fault:
        approved = await self._rules.may_update_incoming(actor, form, hook)
        if isinstance(approved, Fault):
            return approved
        if form.name != hook.name and _is_reserved(form.name):
            return RESERVED_NAME
        return self._put(actor, updated_incoming(hook, form, approved))

    async def _update_outgoing(self, actor: User, hook: OutgoingHook, form: OutgoingForm) -> _Plan | Fault:
        approved = await self._rules.may_update_outgoing(actor, form, hook)
        if isinstance(approved, Fault):
            return approved
        if form.name != hook.name and _is_reserved(form.name):
            return RESERVED_NAME
        return self._put(actor, updated_outgoing(hook, form, approved, self._stamp(actor)))

    async def _edit(self, actor: User, hook_id: str, options: Options) -> _Plan | Fault:
        hook = await self._find(hook_id)
        if hook is None:
            return NOT_FOUND
        fault = ownership_fault(actor, hook, "editIntegration")
        if fault is not None:
            return fault
        poster = await self._directory.user(hook.user_id)
        if options.enabled and not (poster and poster.active):
            return Fault(f"The hook posts as {hook.username}, who is deactivated; activate that user first.")
        changed = apply_options(hook, options, self._clock.now())
        return changed if isinstance(changed, Fault) else self._put(actor, changed)

    async def _remove(self, actor: User, hook: Hook, also: Changes = NOTHING) -> Hook | Fault:
        way = "Incoming" if direction(hook) is Direction.INCOMING else "Outgoing"
        fault = ownership_fault(actor, hook, f"delete{way}Integration")
        if fault is not None:
            return fault
        fact = self._fanout.plain(EventKind.INTEGRATION_REMOVED, actor, {"id": hook.id, "name": hook.name})
        await self._store.commit(merge(Changes(drop_hooks=(hook.id,), facts=(fact,)), also))
        return hook

    def _stamp(self, actor: User) -> Stamp:
        return Stamp(self._directory.org, self._clock.now(), (actor.id, actor.username))

    def _put(self, actor: User, hook: Hook) -> _Plan:
        """Stamp a changed hook and plan its writing."""
        stamped = replace(
            hook, updated_at=self._clock.now(), updated_by=(actor.id, actor.username), version=hook.version + 1
        )
        return _Plan(stamped, Changes(put_hooks=(stamped,), facts=(self._changed(stamped, actor),)))

    # --- finding and writing ------------------------------------------------------------------------

    async def _find(self, hook_id: object) -> Hook | None:
        return await self._directory.hook(IntegrationId(hook_id)) if isinstance(hook_id, str) else None

    async def _named(self, actor: User, body: Body) -> Hook | Fault:
        """Find what a body names: `target_url` goes before `integrationId`, then the type must be exact (§4.4, §4.5).

        A hook of the other direction is not what was named (decision 10).
        """
        named_type = str(body.get("type"))  # as far as the schema goes, the word of a direction with anything around it
        if Direction.OUTGOING in named_type and body.get("target_url"):
            hook = await self._calling(actor, body["target_url"])
        else:
            hook = await self._find(body.get("integrationId"))
        if hook is None:
            return NOT_FOUND
        if named_type not in list(Direction):
            return WRONG_TYPE
        return hook if direction(hook) == named_type else NOT_FOUND

    async def _calling(self, actor: User, url: object) -> Hook | None:
        """Find the outgoing hook that calls an address; of several the caller's own, else the oldest."""
        found = await self._store.hooks_calling(url) if isinstance(url, str) else []
        mine = [hook for hook in found if hook.org_id == self._directory.org]
        return min(mine, key=lambda hook: hook.created_by[0] != actor.id, default=None)

    async def _write(self, plan: Callable[[], Awaitable[_Plan | Fault]], also: Changes = NOTHING) -> Hook | Fault:
        """Commit a plan; when somebody else was faster, plan once more with what is stored now."""
        for _ in range(2):
            planned = await plan()
            if isinstance(planned, Fault):
                return planned
            try:
                await self._store.commit(merge(planned.changes, also))
            except Taken:
                self._directory.clear()
            else:
                return planned.hook
        return Fault("Somebody else changed this integration meanwhile; look at it again and repeat.")

    def _changed(self, hook: Hook, by: User, **more: str) -> Fact:
        body = {"id": hook.id, "name": hook.name, **more}
        return self._fanout.plain(EventKind.INTEGRATION_CHANGED, by, body)


def _seen(hooks: Sequence[Hook], actor: User) -> list[Hook]:
    held = permissions(actor)
    return list(hooks) if sees_all(held) else [hook for hook in hooks if visible(held, actor.id, hook)]


def _is_reserved(name: str) -> bool:
    return _commands().takes(name.strip())


@cache
def _commands() -> Commands:
    return load_commands()
