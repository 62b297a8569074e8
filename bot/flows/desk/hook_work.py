"""Making and changing hooks for commands: wishes in the words of flags become what the workspace judges and writes."""

from bot.flows.desks import Caller, Desk, Kit
from bot.workspace.hook_forms import Body
from bot.workspace.hook_options import NEW_KEY, Options
from handlers.errors import Fault
from handlers.hooks.wish import Wish
from handlers.hooks.work import HOOK_WORK, HookWork
from storage.clock import Millis
from storage.ids import IntegrationId
from storage.records.changes import Changes
from storage.records.integration import Direction, Hook, IncomingHook
from storage.records.user import User

_FIELDS = {
    "name": "name",
    "post_as": "username",
    "alias": "alias",
    "avatar": "avatar",
    "emoji": "emoji",
    "allow_override": "overrideDestinationChannelEnabled",
    "event": "event",
    "target_room": "targetRoom",
    "anywhere": "triggerWordAnywhere",
    "on_edits": "runOnEdits",
    "retry_delay": "retryDelay",
    "token": "token",
}
"""What of a wish the REST schema calls otherwise, or the same (`rocketchat.md` §3)."""


class CallersWork:
    """Implements `handlers.hooks.work.HookWork`."""

    def __init__(self, kit: Kit, caller: Caller) -> None:
        self._hooks = kit.hooks
        self._directory = kit.directory
        self._base_url = kit.base_url
        self._user = caller.user

    def address(self, hook: IncomingHook) -> str:
        return f"{self._base_url}/hooks/{hook.id}/{hook.token}"

    async def judge(self, way: Direction, hook: Hook | None, wish: Wish) -> Hook | Fault:
        fields = _fields(wish) if hook else _new(way, wish)
        return await self._hooks.judge(self._user, fields, _options(wish), seen=hook)

    async def make(self, way: Direction, hook_id: IntegrationId, wish: Wish, also: Changes) -> Hook | Fault:
        return await self._hooks.create(self._user, _new(way, wish), also, options=_options(wish), hook_id=hook_id)

    async def change(self, hook: Hook, wish: Wish, also: Changes) -> Hook | Fault:
        return await self._hooks.change(self._user, hook, _fields(wish), _options(wish), also)

    async def judge_adoption(self, hook: Hook, holder: str | None, post_as: str | None) -> Hook | Fault:
        people = await self._people(holder, post_as)
        if isinstance(people, Fault):
            return people
        return await self._hooks.judge_adoption(self._user, hook, holder=people[0], post_as=people[1])

    async def adopt(self, hook: Hook, holder: str | None, post_as: str | None, also: Changes) -> Hook | Fault:
        people = await self._people(holder, post_as)
        if isinstance(people, Fault):
            return people
        return await self._hooks.adopt(self._user, hook, holder=people[0], post_as=people[1], also=also)

    async def _people(self, *names: str | None) -> list[User | None] | Fault:
        """Find users by name; None stays None."""
        found = [None if name is None else await self._directory.user_named(name) for name in names]
        for name, user in zip(names, found, strict=True):
            if name is not None and user is None:
                return Fault(f"There is no user {name[:60]}", "error-invalid-user")
        return found

    async def rotate(self, hook: Hook, keep_until: Millis | None, also: Changes) -> Hook | Fault:
        return await self._hooks.rotate(self._user, hook, old_until=keep_until, also=also)


def _new(way: Direction, wish: Wish) -> Body:
    return {"type": way.value, "enabled": True, "scriptEnabled": False, "channel": "", **_fields(wish)}


def _fields(wish: Wish) -> Body:
    """Return what a wish says about the fields of the REST schema."""
    fields: dict[str, object] = {
        there: None if value == "" else value
        for here, there in _FIELDS.items()
        if (value := getattr(wish, here)) is not None
    }
    if wish.rooms is not None:
        fields["channel"] = ",".join(wish.rooms)
    if wish.urls is not None:
        fields["urls"] = list(wish.urls)
    if wish.triggers is not None:
        fields["triggerWords"] = list(wish.triggers)
    if wish.retries is not None:
        fields["retryFailedCalls"] = wish.retries > 0
        if wish.retries:
            fields["retryCount"] = wish.retries
    return fields


def _options(wish: Wish) -> Options:
    """Return what a wish says about what the REST schema does not know (decision 35)."""
    return Options(
        enabled=wish.enabled,
        expires_at=wish.expires_at,
        secret=wish.secret,
        dedup=wish.dedup,
        keep_requests=wish.keep_requests,
        format=wish.format,
        signing_key=None if wish.sign is None else NEW_KEY if wish.sign else "",
        ordered=wish.ordered,
    )


def _make(kit: Kit, caller: Caller) -> HookWork:
    return CallersWork(kit, caller)


DESK: Desk = Desk(HOOK_WORK, _make)
