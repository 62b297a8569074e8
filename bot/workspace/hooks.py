"""Integrations: who may make, see, change and remove which hooks (`rocketchat.md` §4.1-§4.5)."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import count
from typing import Protocol

from bot.slices import Slices
from bot.workspace.directory import Directory
from bot.workspace.fanout import Fanout
from bot.workspace.hook_forms import Body, IncomingForm, OutgoingForm, incoming_form, outgoing_form
from bot.workspace.hook_options import NEVER, NEW_KEY, Options, apply_options
from bot.workspace.hook_records import (
    Stamp,
    body_of,
    new_incoming,
    new_outgoing,
    updated_incoming,
    updated_outgoing,
    with_new_token,
    with_room_renamed,
)
from bot.workspace.hook_rules import HOOKS_PER_USER, HookRules, ownership_fault
from handlers.acting import may_act_as
from handlers.command import Commands, load_commands
from handlers.errors import Fault
from handlers.nearest import nearest
from handlers.permissions import FULL, MANAGE_ANY, may_manage, permissions, sight
from handlers.references import MIN_PREFIX, Found
from handlers.targets import AllowList
from storage.clock import Clock, Millis
from storage.errors import Taken
from storage.ids import IntegrationId, hook_token
from storage.ports import Integrations, Ledger, Secrets
from storage.records.changes import NOTHING, Changes, Fact, merge
from storage.records.event import EventKind
from storage.records.integration import (
    BY_NAME,
    OLDEST_FIRST,
    Direction,
    Hook,
    HookField,
    IncomingHook,
    Order,
    OutgoingHook,
    WantedHooks,
    direction,
)
from storage.records.user import User
from storage.records.version import revised

NOT_FOUND = Fault("No integration found.")
WRONG_TYPE = Fault("Invalid integration type.")
UNAUTHORIZED = Fault("Unauthorized", "not_authorized")
RESERVED_NAME = Fault("Invalid name: it is a word of the commands", "error-invalid-name")
"""Typed alone, such a name would never show the hook (decision 58); the contract's own rules are judged before."""


MOST_MEANT = 50
"""Hooks a reference is said to mean; of more only their number is told."""
NAMES_AT_ONCE = 1_000
"""Names read together when a word is no hook's name and a near one is looked for."""
NAMES_COMPARED = 50
"""Names compared before others may have their turn."""

DAMAGED = Fault(
    "What is sealed of this integration is damaged; remove it and make it anew, or restore a backup",
    "error-integration-damaged",
)
CHANGED = Fault("Somebody else changed this integration meanwhile; look at it again and repeat.")
_NO_OPTIONS = Options()
_PLACEHOLDER = "none"


class HookStore(Integrations, Ledger, Secrets, Protocol):
    """Where hooks are found by address and written."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """A hook as it will be (removed: as it was) and what writes that."""

    hook: Hook
    changes: Changes


class Hooks:
    """Each method judges by the caller's permissions, then commits one unit of work."""

    def __init__(
        self,
        directory: Directory,
        store: HookStore,
        fanout: Fanout,
        clock: Clock,
        allow: AllowList,
        *,
        hooks_per_user: int = HOOKS_PER_USER,
    ) -> None:
        self._directory = directory
        self._store = store
        self._fanout = fanout
        self._clock = clock
        self._rules = HookRules(directory, allow, hooks_per_user)
        self._making = asyncio.Lock()
        """Held from the count of what its maker has to the commit of one more."""

    @property
    def rules(self) -> HookRules:
        """Return what judges a hook, for an import that writes many in one unit."""
        return self._rules

    # --- looking (§4.2, §4.3) -----------------------------------------------------------------------

    @staticmethod
    def may_see_any(actor: User) -> bool:
        """Tell whether the routes of list and remove let this caller in: any of the four permissions."""
        return not permissions(actor).isdisjoint(MANAGE_ANY)

    def seen(self, actor: User, *, order: Order = OLDEST_FIRST) -> WantedHooks:
        """Return which hooks are in this caller's list, for the store (§4.2); narrow it with `replace`."""
        return WantedHooks(org_id=self._directory.org, sight=sight(permissions(actor), actor.id), order=order)

    async def find(self, actor: User, reference: str, way: Direction | None = None) -> Found[Hook]:
        """Return the hooks in this caller's list that a reference may mean, as `resolve` does; of many only a few."""
        seen = replace(self.seen(actor, order=BY_NAME), equal=() if way is None else ((HookField.DIRECTION, way),))
        for field, value in (
            (HookField.ID, reference),
            (HookField.NAME, reference),
            (HookField.FOLDED, reference.casefold()),
        ):
            hooks, total = await self._store.hook_page(
                replace(seen, equal=(*seen.equal, (field, value))), count=MOST_MEANT
            )
            if hooks:
                return Found(tuple(hooks), total=total)
        if len(reference) < MIN_PREFIX:
            return Found()
        hooks, total = await self._store.hook_page(replace(seen, begins=reference), count=MOST_MEANT)
        return Found(tuple(hooks), by_prefix=True, total=total)

    async def near(self, actor: User, word: str, way: Direction | None = None) -> tuple[str, ...]:
        """Return the names in this caller's list that a mistyped word was likely meant to be."""
        seen = replace(self.seen(actor, order=BY_NAME), equal=() if way is None else ((HookField.DIRECTION, way),))
        best, slices = tuple[str, ...](), Slices()
        for offset in count(step=NAMES_AT_ONCE):
            outlines = await self._store.hook_outlines(seen, offset=offset, count=NAMES_AT_ONCE)
            for start in range(0, len(outlines), NAMES_COMPARED):
                await slices.rest()
                part = outlines[start : start + NAMES_COMPARED]
                best = nearest(word, [*best, *(outline.name for outline in part)])
            if len(outlines) < NAMES_AT_ONCE:
                break
        return best

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

    async def create(
        self,
        actor: User,
        body: Body,
        also: Changes = NOTHING,
        *,
        options: Options = _NO_OPTIONS,
        hook_id: IntegrationId | None = None,
    ) -> Hook | Fault:
        """Make a hook from a body that passed the schema (§4.1), with what the schema does not know.

        `also` is written with it or not at all; `hook_id` is given where it has to be known before.
        """
        async with self._making:
            return await self._write(lambda: self._created(actor, body, options, hook_id), also)

    async def judge(
        self, actor: User, body: Body, options: Options = _NO_OPTIONS, *, seen: Hook | None = None
    ) -> Hook | Fault:
        """Return what `create`, or `change` of the hook seen, would make of it, or why not; nothing is written."""
        if seen is None:
            planned = await self._created(actor, body, options, None)
        else:
            planned = await self._changed_as_seen(actor, seen, body, options)
        return planned if isinstance(planned, Fault) else planned.hook

    async def change(
        self, actor: User, seen: Hook, fields: Body, options: Options = _NO_OPTIONS, also: Changes = NOTHING
    ) -> Hook | Fault:
        """Change some fields (§4.4) and options of a hook in one write, if it still is at the version seen."""
        return await self._write(lambda: self._changed_as_seen(actor, seen, fields, options), also)

    async def rotate(
        self, actor: User, seen: Hook, *, old_until: Millis | None = None, also: Changes = NOTHING
    ) -> Hook | Fault:
        """Give a hook a new token, and a signed outgoing one a new signing key (commands.md §2.6).

        The token an incoming hook had works on until `old_until`; the signing key of before for 24 h.
        """
        return await self._write(lambda: self._rotated(actor, seen, old_until), also)

    async def why_not_run(self, actor: User, hook: Hook) -> str | None:
        """Say why somebody may not let a hook act, be it another one's: it does more than they may do themselves."""
        return await self._rules.why_not_run(actor, hook)

    async def update(self, actor: User, body: Body, also: Changes = NOTHING) -> Hook | Fault:
        """Change a hook to what a body says (§4.4)."""
        return await self._write(lambda: self._update(actor, body), also)

    async def edit(self, actor: User, hook_id: str, options: Options, also: Changes = NOTHING) -> Hook | Fault:
        """Set what the REST schema does not know (decision 35)."""
        return await self._write(lambda: self._edit(actor, hook_id, options), also)

    async def mute(
        self, actor: User, seen: Sequence[Hook], until: Millis | None, also: Changes = NOTHING
    ) -> Fault | None:
        """Mute hooks until a time, or end that (None), all of them at the versions seen or none (decision 65)."""
        planned = [NOTHING]
        for hook in seen:
            if fault := await self._seen_fault(actor, hook, "editIntegration"):
                return fault
            changed = apply_options(hook, Options(muted_until=NEVER if until is None else until), self._clock.now())
            if isinstance(changed, Fault):
                return changed
            planned.append(self._put(actor, changed).changes)
        try:
            await self._store.commit(merge(*planned, also))
        except Taken:
            self._directory.clear()
            return CHANGED
        return None

    async def remove(self, actor: User, body: Body, also: Changes = NOTHING) -> Hook | Fault:
        """Remove a hook and return it as it was; its stored direction must be the one named (§4.5, decision 10)."""
        hook = await self._named(actor, body)
        return hook if isinstance(hook, Fault) else await self._remove(actor, hook, also)

    async def adopt(
        self,
        actor: User,
        seen: Hook,
        *,
        holder: User | None = None,
        post_as: User | None = None,
        also: Changes = NOTHING,
    ) -> Hook | Fault:
        """Take a hook over, or give it to `holder`: from now on it runs with that person's rights.

        `post_as` changes who it posts as, which an update of an incoming hook cannot.
        """
        return await self._write(lambda: self._adopted(actor, seen, holder or actor, post_as), also)

    async def judge_adoption(
        self, actor: User, seen: Hook, *, holder: User | None = None, post_as: User | None = None
    ) -> Hook | Fault:
        """Return what `adopt` would make of a hook, or why not; nothing is written."""
        planned = await self._adopted(actor, seen, holder or actor, post_as)
        return planned if isinstance(planned, Fault) else planned.hook

    # --- what else changes hooks --------------------------------------------------------------------

    def disable(self, hook: Hook, by: User, reason: str) -> Changes:
        """Return what switches a hook off: an answer 410 (§7.1), a posting user deactivated (decision 24)."""
        off = revised(hook, enabled=False, updated_at=self._clock.now())
        return Changes(put_hooks=(off,), facts=(self._changed(off, by, reason=reason),))

    async def rename_room(self, old: str, new: str, actor: User) -> tuple[Hook, ...]:
        """Return the hooks that name a room, with its new name, for the commit that renames it (decision 25)."""
        now = self._clock.now()
        naming = WantedHooks(org_id=self._directory.org, channels=(f"#{old}",), targets_too=True)
        found_ones = [
            revised(found, updated_at=now, updated_by=(actor.id, actor.username))
            async for hook in self._directory.every_hook(naming)
            if (found := with_room_renamed(hook, old, new)) != hook
        ]
        return tuple(found_ones)

    # --- plans: judged and built from what is stored now --------------------------------------------

    async def _created(self, actor: User, body: Body, options: Options, hook_id: IntegrationId | None) -> _Plan | Fault:
        match body.get("type"):
            case Direction.INCOMING.value:
                return await self._create_incoming(actor, incoming_form(body), options, hook_id)
            case Direction.OUTGOING.value:
                return await self._create_outgoing(actor, outgoing_form(body), options, hook_id)
            case _:
                return WRONG_TYPE

    async def _create_incoming(
        self, actor: User, form: IncomingForm, options: Options, hook_id: IntegrationId | None
    ) -> _Plan | Fault:
        approved = await self._rules.may_create_incoming(actor, form)
        if isinstance(approved, Fault):
            return approved
        if is_reserved(form.name):
            return RESERVED_NAME
        return await self._new(actor, new_incoming(form, approved, self._stamp(actor)), options, hook_id)

    async def _create_outgoing(
        self, actor: User, form: OutgoingForm, options: Options = _NO_OPTIONS, hook_id: IntegrationId | None = None
    ) -> _Plan | Fault:
        approved = await self._rules.may_create_outgoing(actor, form)
        if isinstance(approved, Fault):
            return approved
        if is_reserved(form.name):
            return RESERVED_NAME
        return await self._new(actor, new_outgoing(form, approved, self._stamp(actor)), options, hook_id)

    async def _new(self, actor: User, made: Hook, options: Options, hook_id: IntegrationId | None) -> _Plan | Fault:
        if fault := await self._rules.may_have_more(actor.id):
            return fault
        hook = apply_options(replace(made, id=hook_id or made.id), options, self._clock.now())
        if isinstance(hook, Fault):
            return hook
        return _Plan(hook, Changes(new_hooks=(hook,), facts=(self._changed(hook, actor),)))

    async def _changed_as_seen(self, actor: User, seen: Hook, fields: Body, options: Options) -> _Plan | Fault:
        if fault := await self._seen_fault(actor, seen, "editIntegration"):
            return fault
        changed: Hook = seen
        if fields:
            # §4.4 asks for a token in every update of an outgoing hook; one that never had any keeps none
            stays = {} if seen.token else {"token": _PLACEHOLDER}
            planned = await self._update_seen(actor, seen, {**body_of(seen), **stays, **fields})
            if isinstance(planned, Fault):
                return planned
            changed = replace(planned.hook, version=seen.version)
            if "token" not in fields:
                changed = replace(changed, token=seen.token)
        return await self._with_options(actor, changed, options)

    async def _adopted(self, actor: User, seen: Hook, holder: User, post_as: User | None) -> _Plan | Fault:
        if fault := await self._seen_fault(actor, seen, "adoptIntegration"):
            return fault
        way = direction(seen)
        if FULL[way] not in permissions(actor):
            return UNAUTHORIZED
        if not may_act_as(actor, holder, way):
            return Fault(f"{holder.username} has a higher role than you, so nothing of yours can run in that name.")
        if holder.id != seen.created_by[0] and (fault := await self._rules.may_have_more(holder.id)):
            return fault
        poster = post_as or await self._directory.user(seen.user_id)
        if poster is None or (post_as is not None and not poster.active):
            return Fault("The user it posts as is not there any more; name another one.", "error-invalid-user")
        if not may_act_as(actor, poster, way):
            text = f"It posts as {poster.username}, whom you may not let it post as; name another user."
            return Fault(text, "error-invalid-user")
        taken = replace(seen, created_by=(holder.id, holder.username), user_id=poster.id, username=poster.username)
        return self._put(actor, taken)

    async def _rotated(self, actor: User, seen: Hook, old_until: Millis | None) -> _Plan | Fault:
        if fault := await self._seen_fault(actor, seen, "rotateToken"):
            return fault
        if isinstance(seen, IncomingHook):
            if reason := await self.why_not_run(actor, seen):  # whoever knows the new address acts as the hook does
                return Fault(reason, "error-invalid-post-as-user")
            old_hash = self._store.lookup(seen.token or "")
            return self._put(actor, with_new_token(seen, old_hash=old_hash, old_until=old_until))
        key = Options(signing_key=NEW_KEY) if seen.signing_keys else _NO_OPTIONS
        changed = apply_options(replace(seen, token=hook_token()), key, self._clock.now())
        return changed if isinstance(changed, Fault) else self._put(actor, changed)

    async def _seen_fault(self, actor: User, seen: Hook, method: str) -> Fault | None:
        """Return why a hook may not be changed by who saw it: not theirs, gone, or another one by now."""
        current = await self._find(seen.id)
        if current is None:
            return NOT_FOUND
        return ownership_fault(actor, current, method) or (CHANGED if current.version != seen.version else None)

    async def _update(self, actor: User, body: Body) -> _Plan | Fault:
        hook = await self._named(actor, body)
        return hook if isinstance(hook, Fault) else await self._update_seen(actor, hook, body)

    async def _update_seen(self, actor: User, hook: Hook, body: Body) -> _Plan | Fault:
        if isinstance(hook, IncomingHook):
            return await self._update_incoming(actor, hook, incoming_form(body))
        return await self._update_outgoing(actor, hook, outgoing_form(body))

    async def _update_incoming(self, actor: User, hook: IncomingHook, form: IncomingForm) -> _Plan | Fault:
        approved = await self._rules.may_update_incoming(actor, form, hook)
        if isinstance(approved, Fault):
            return approved
        if form.name != hook.name and is_reserved(form.name):
            return RESERVED_NAME
        return self._put(actor, updated_incoming(hook, form, approved))

    async def _update_outgoing(self, actor: User, hook: OutgoingHook, form: OutgoingForm) -> _Plan | Fault:
        approved = await self._rules.may_update_outgoing(actor, form, hook)
        if isinstance(approved, Fault):
            return approved
        if form.name != hook.name and is_reserved(form.name):
            return RESERVED_NAME
        return self._put(actor, updated_outgoing(hook, form, approved, self._stamp(actor)))

    async def _edit(self, actor: User, hook_id: str, options: Options) -> _Plan | Fault:
        hook = await self._find(hook_id)
        if hook is None:
            return NOT_FOUND
        fault = ownership_fault(actor, hook, "editIntegration")
        return fault or await self._with_options(actor, hook, options)

    async def _with_options(self, actor: User, hook: Hook, options: Options) -> _Plan | Fault:
        poster = await self._directory.user(hook.user_id)
        if options.enabled and not (poster and poster.active):
            return Fault(f"The hook posts as {hook.username}, who is deactivated; activate that user first.")
        if options.enabled and (reason := await self.why_not_run(actor, hook)):
            return Fault(reason, "error-invalid-post-as-user")
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
        stamped = revised(hook, updated_at=self._clock.now(), updated_by=(actor.id, actor.username))
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
            hook = await self.calling(actor, body["target_url"])
        else:
            hook = await self._find(body.get("integrationId"))
        if hook is None:
            return NOT_FOUND
        if named_type not in list(Direction):
            return WRONG_TYPE
        return hook if direction(hook) == named_type else NOT_FOUND

    async def calling(self, actor: User, url: object) -> Hook | None:
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
            if planned.hook.damaged:
                return DAMAGED
            try:
                await self._store.commit(merge(planned.changes, also))
            except Taken:
                self._directory.clear()
            else:
                return planned.hook
        return CHANGED

    def _changed(self, hook: Hook, by: User, **more: str) -> Fact:
        body = {"id": hook.id, "name": hook.name, **more}
        return self._fanout.plain(EventKind.INTEGRATION_CHANGED, by, body)


def is_reserved(name: str) -> bool:
    """Tell whether a name is a word of the commands (decision 58)."""
    return _commands().takes(name.strip())


@cache
def _commands() -> Commands:
    return load_commands()
