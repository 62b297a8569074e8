"""Whether a hook may be as somebody wants it: the numbered rules of `rocketchat.md` §4.1, in their order.

Texts, codes and details are the contract's. Rooms and users match by exact id or name: an outgoing hook is found
by its channels as they are written, so `#Ops` for the room `ops` would never fire.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bot.workspace.directory import Directory
from bot.workspace.hook_forms import IncomingForm, OutgoingForm
from handlers.acting import may_act_as
from handlers.errors import Fault
from handlers.http import Refused
from handlers.outgoing.events import OutgoingEvent
from handlers.permissions import FULL, MANAGE_OUTGOING, OWN, permissions
from handlers.targets import ADDRESS_REFUSED, AllowList, judge_url
from storage.ids import RoomId, UserId
from storage.records.integration import Direction, Hook, IncomingHook, OutgoingHook, direction
from storage.records.user import User

SCRIPTS_DISABLED = Fault("integration-scripts-disabled")
"""Scripts are frozen in this version; a hook may say `scriptEnabled`, but not bring code (rows 5 and 2)."""

MAX_TRIGGER_WORDS = 100
"""Of one hook: each may be looked for in the whole of every message of its rooms, while nothing else is done."""

ALLOW_SETTING = "PATCHBAY_ALLOW_TARGETS"

MOST_ADDRESSES = 20
"""Addresses of one hook: each of them is called for every message."""
HOOKS_PER_USER = 500
"""Integrations one user may have made, unless the server's setting says otherwise."""
COUNT_SETTING = "PATCHBAY_HOOKS_PER_USER"

ALL_PUBLIC = "all_public_channels"
_SCOPE_WORDS = frozenset({ALL_PUBLIC, "all_private_groups", "all_direct_messages"})
_OUTGOING = "validateOutgoing"
_REQUIRED = "validateOutgoing._verifyRequiredFields"
_CHANNELS = "validateOutgoing._verifyUserHasPermissionForChannels"


NOT_AS_THAT_USER = (
    "A webhook posts as whoever makes it, as a bot, or with the full permission as somebody of no higher role"
)
"""The reason of a refusal that rows 6 and 10 do not have: their code, for another cause."""

NOT_MAKERS_RIGHTS = (
    "This webhook acts with rights of its maker that you do not have; switch it off, or take it over first"
)
NOT_MAKERS_ROOM = "The webhook's maker may not enter one of these rooms, so it would not work there; take it over first"


@dataclass(frozen=True, slots=True)
class Approved:
    """A form that passed: who the hook posts as, and its channels one by one."""

    poster: User
    channels: tuple[str, ...]


Verdict = Approved | Fault
Refuse = Callable[[str, str], Fault]


class HookRules:
    """Judges forms for a caller; asks the directory, changes nothing."""

    def __init__(self, directory: Directory, allow: AllowList, hooks_per_user: int = HOOKS_PER_USER) -> None:
        """`hooks_per_user` 0 is no bound."""
        self._directory = directory
        self._allow = allow
        self._hooks_per_user = hooks_per_user

    async def may_have_more(self, maker: UserId, more: int = 1) -> Fault | None:
        """Return why a user may not make or take over so many more integrations, or None."""
        if not self._hooks_per_user:
            return None
        made = await self._directory.hooks_made_by(maker)
        if made + more <= self._hooks_per_user:
            return None
        text = f"One user may have made at most {self._hooks_per_user} integrations, and these are {made} already"
        return Fault(text, "error-too-many-integrations", {"setting": COUNT_SETTING})

    async def may_create_incoming(self, actor: User, form: IncomingForm, maker: User | None = None) -> Verdict:
        """Judge a new incoming hook: rows 1-8 of the first table; `maker` is whose it will be, if not the caller's."""
        refuse = _refusing(method="addIncomingIntegration")
        if not holds_any(actor, Direction.INCOMING):
            return refuse("Unauthorized", "not_authorized")
        channels = _incoming_channels(form.channel, refuse)
        if isinstance(channels, Fault):
            return channels
        if not form.username.strip():
            return refuse("Invalid username", "error-invalid-username")
        if form.has_script:
            return SCRIPTS_DISABLED
        poster = await self._user_named(form.username)
        if poster is None or not _may_post(poster, enabled=form.enabled):
            return refuse("Invalid user", "error-invalid-user")
        if not _may_let_act([actor, maker or actor], poster, Direction.INCOMING):
            return refuse(NOT_AS_THAT_USER, "error-invalid-user")
        fault = await self._channel_fault(actor, Direction.INCOMING, channels, refuse)
        return fault or Approved(poster, channels)

    async def may_update_incoming(self, actor: User, form: IncomingForm, hook: Hook) -> Verdict:
        """Judge what an incoming hook should become (§4.4); its posting user stays."""
        refuse = _refusing(method="updateIncomingIntegration")
        channels = _incoming_channels(form.channel, refuse)
        if isinstance(channels, Fault):
            return channels
        fault = ownership_fault(actor, hook, "updateIncomingIntegration")
        if fault is not None:
            return fault
        if form.has_script:
            return SCRIPTS_DISABLED
        fault = await self._channel_fault(actor, Direction.INCOMING, channels, refuse)
        if fault is not None:
            return fault
        poster = await self._directory.user(hook.user_id)
        if poster is None or not _may_post(poster, enabled=form.enabled):
            return refuse("Invalid Post As User", "error-invalid-post-as-user")
        kept = isinstance(hook, IncomingHook) and hook.override_destination
        elsewhere = kept if form.override_destination is None else form.override_destination
        if form.enabled and (reason := await self._why_not_run(actor, hook, poster, elsewhere=elsewhere)):
            return refuse(reason, "error-invalid-post-as-user")
        fault = await self._makers_fault(actor, hook, channels, refuse)
        return fault or Approved(poster, channels)

    async def may_create_outgoing(self, actor: User, form: OutgoingForm, maker: User | None = None) -> Verdict:
        """Judge a new outgoing hook: rows 1-14 of the second table; `maker` as for incoming ones."""
        if not holds_any(actor, Direction.OUTGOING):
            return Fault(code="not_authorized")
        return await self._outgoing(actor, form, maker=maker)

    async def may_update_outgoing(self, actor: User, form: OutgoingForm, hook: Hook) -> Verdict:
        """Judge what an outgoing hook should become: all of §4.1 but its first row, then §4.4."""
        verdict = await self._outgoing(actor, form, hook=hook)
        if isinstance(verdict, Fault):
            return verdict
        refuse = _refusing(method="updateOutgoingIntegration")
        if not (form.token or "").strip():
            return refuse("Invalid token", "error-invalid-token")
        if not holds_any(actor, Direction.OUTGOING):
            return refuse("Unauthorized", "not_authorized")
        if ownership_fault(actor, hook, "updateOutgoingIntegration"):
            return Fault("[methods] updateOutgoingIntegration -> integration not found", "invalid_integration")
        return await self._makers_fault(actor, hook, verdict.channels, refuse) or verdict

    # --- the second table ---------------------------------------------------------------------------

    async def _outgoing(
        self, actor: User, form: OutgoingForm, *, maker: User | None = None, hook: Hook | None = None
    ) -> Verdict:
        refuse = _refusing(function=_OUTGOING)
        if form.has_script:
            return SCRIPTS_DISABLED
        event = _event(form.event)
        if event is None:
            return _refusing(function=_REQUIRED)("Invalid event type", "error-invalid-event-type")
        fault = self._required_fault(form, event)
        if fault is not None:
            return fault
        channels: tuple[str, ...] | Fault = ()
        if event.uses_channels:
            channels = _outgoing_channels(form.channel, refuse)
        elif MANAGE_OUTGOING not in permissions(actor):
            return refuse("Invalid permission for required Integration creation.", "error-invalid-permissions")
        if isinstance(channels, Fault):
            return channels
        poster = await self._user_named(form.username)
        if poster is None or not _may_post(poster, enabled=form.enabled):
            return refuse("Invalid user (did you delete the `rocket.cat` user?)", "error-invalid-user")
        if reason := await self._why_not_answer_as(actor, poster, form, maker or actor, hook):
            return refuse(reason, "error-invalid-user")
        if form.trigger_words is None:
            return refuse("Invalid triggerWords", "error-invalid-triggerWords")
        if len(form.trigger_words) > MAX_TRIGGER_WORDS:
            return refuse(f"At most {MAX_TRIGGER_WORDS} trigger words", "error-invalid-triggerWords")
        fault = await self._channel_fault(actor, Direction.OUTGOING, channels, _refusing(function=_CHANNELS))
        return fault or Approved(poster, channels)

    def _required_fault(self, form: OutgoingForm, event: OutgoingEvent) -> Fault | None:
        """Return what rows 4-6 object to, addresses the guard refuses among it (decision 48)."""
        refuse = _refusing(function=_REQUIRED)
        if not form.username.strip():
            return refuse("Invalid username", "error-invalid-username")
        if event.uses_target_room and not (form.target_room or "").strip():
            return refuse("Invalid Target Room", "error-invalid-targetRoom")
        if not form.urls:
            return refuse("Invalid URLs", "error-invalid-urls")
        if len(form.urls) > MOST_ADDRESSES:
            text = f"Invalid URLs: a hook calls at most {MOST_ADDRESSES} addresses, these are {len(form.urls)}"
            return refuse(text, "error-invalid-urls")
        for number, url in enumerate(form.urls, 1):
            judged = judge_url(url, self._allow)
            if isinstance(judged, Refused):
                # the number, not the address: addresses count as secrets (decision 31)
                details: dict[str, object] = {"function": _REQUIRED, "number": number, "message": judged.message}
                if judged == ADDRESS_REFUSED:
                    details["setting"] = ALLOW_SETTING
                return Fault("Invalid URLs", "error-invalid-urls", details)
        return None

    # --- rows both tables share ---------------------------------------------------------------------

    async def _channel_fault(
        self, actor: User, way: Direction, channels: Sequence[str], refuse: Refuse
    ) -> Fault | None:
        """Return what rows 7-8 or 12-14 object to; each channel is judged by all of them before the next one."""
        held = permissions(actor)
        anywhere = held.issuperset({FULL[way], OWN[way]})
        for channel in channels:
            if channel in _SCOPE_WORDS:
                if channel != ALL_PUBLIC and MANAGE_OUTGOING not in held:
                    return refuse("Invalid Channel", "error-invalid-channel")
                continue
            place = await self._place(channel)
            if place is None:
                return refuse("Invalid room", "error-invalid-room")
            if not anywhere and await self._directory.member(place, actor.id) is None:
                return refuse("Invalid Channel", "error-invalid-channel")
        return None

    async def _why_not_answer_as(
        self, actor: User, poster: User, form: OutgoingForm, maker: User, hook: Hook | None
    ) -> str | None:
        """Say why an outgoing hook may not post as somebody: by who writes it, and who it belongs to.

        One that keeps whom it posts as may be changed by others than its maker, and switched off by anybody who
        manages it, whatever became of anybody's rights since.
        """
        owner = maker if hook is None else await self._directory.user(hook.created_by[0])
        if (hook is None or hook.user_id != poster.id) and not _may_let_act([actor, owner], poster, Direction.OUTGOING):
            return NOT_AS_THAT_USER
        if hook is None or not form.enabled:
            return None
        return await self._why_not_run(actor, hook, poster, as_others=bool(form.impersonate_user))

    async def why_not_run(self, actor: User, hook: Hook) -> str | None:
        """Say why somebody may not switch a hook on as it is, be it another one's."""
        poster = await self._directory.user(hook.user_id)
        if poster is None:
            return NOT_AS_THAT_USER
        return await self._why_not_run(
            actor,
            hook,
            poster,
            as_others=isinstance(hook, OutgoingHook) and bool(hook.impersonate_user),
            elsewhere=isinstance(hook, IncomingHook) and hook.override_destination,
        )

    async def _why_not_run(
        self, actor: User, hook: Hook, poster: User, *, as_others: bool = False, elsewhere: bool = False
    ) -> str | None:
        """Judge who changes a hook by all that it does with its maker's rights, which are not the changer's.

        `as_others` posts as whoever its maker may act as; `elsewhere` posts into whatever its maker may enter.
        """
        way = direction(hook)
        if not may_act_as(actor, poster, way):
            return NOT_AS_THAT_USER
        if actor.id == hook.created_by[0]:
            return None
        maker = await self._directory.user(hook.created_by[0])
        if as_others and maker is not None and not may_act_as(actor, maker, way):
            return NOT_MAKERS_RIGHTS
        reaches = not elsewhere or await self._directory.may_reach(actor, way, None)
        return None if reaches else NOT_MAKERS_RIGHTS

    async def _makers_fault(self, actor: User, hook: Hook, channels: Sequence[str], refuse: Refuse) -> Fault | None:
        """Refuse rooms added to somebody else's hook whose maker may not enter them: it would be silent there."""
        if actor.id == hook.created_by[0]:
            return None
        maker, way = await self._directory.user(hook.created_by[0]), direction(hook)
        for channel in channels:
            if channel in hook.channels or channel == ALL_PUBLIC:
                continue
            place = None if channel in _SCOPE_WORDS else await self._place(channel)
            room = None if place is None else await self._directory.room(place)
            if not await self._directory.may_reach(maker, way, room):
                return refuse(NOT_MAKERS_ROOM, "error-not-allowed")
        return None

    async def _place(self, channel: str) -> RoomId | None:
        """Return the room a membership is looked up in: of `@user` the user's id, which is no room (row 8)."""
        name = channel[1:]
        if channel.startswith("@"):
            user = await self._directory.user(UserId(name))
            if user is None or user.org_id != self._directory.org:
                user = await self._user_named(name)
            return RoomId(user.id) if user else None
        if not channel.startswith("#"):
            return None
        room = await self._directory.room(RoomId(name)) or await self._directory.room_named(name)
        matches = room is not None and room.org_id == self._directory.org and name in (room.id, room.name)
        return room.id if room is not None and matches else None

    async def _user_named(self, username: str) -> User | None:
        user = await self._directory.user_named(username)
        found = user is not None and user.org_id == self._directory.org and user.username == username
        return user if found else None


def holds_any(actor: User, way: Direction) -> bool:
    """Tell whether the caller holds the full or the own permission of a direction."""
    return not permissions(actor).isdisjoint({FULL[way], OWN[way]})


def ownership_fault(actor: User, hook: Hook, method: str) -> Fault | None:
    """Return why a hook is not the caller's to change (§4.4, §4.5), or None."""
    way, refuse = direction(hook), _refusing(method=method)
    if not holds_any(actor, way):
        return refuse("Unauthorized", "not_authorized")
    if FULL[way] not in permissions(actor) and hook.created_by[0] != actor.id:
        return refuse("Invalid integration", "error-invalid-integration")
    return None


def _refusing(**details: object) -> Refuse:
    return lambda reason, code: Fault(reason, code, details)


def _may_let_act(people: Sequence[User | None], poster: User, way: Direction) -> bool:
    return all(may_act_as(one, poster, way) for one in people)


def _may_post(user: User, *, enabled: bool) -> bool:
    """Tell whether a hook may post as this user: an enabled one never as somebody deactivated (decision 24)."""
    return user.active or not enabled


def _event(name: str) -> OutgoingEvent | None:
    try:
        return OutgoingEvent(name)
    except ValueError:
        return None


def _incoming_channels(text: str, refuse: Refuse) -> tuple[str, ...] | Fault:
    """Split and check the channels by rows 2 and 3; an empty entry, as after a last comma, starts with neither."""
    if not text.strip():
        return refuse("Invalid channel", "error-invalid-channel")
    channels = tuple(entry.strip() for entry in text.split(","))
    if not all(channel.startswith(("@", "#")) for channel in channels):
        return refuse("Invalid channel. Start with @ or #", "error-invalid-channel-start-with-chars")
    return channels


def _outgoing_channels(text: str, refuse: Refuse) -> tuple[str, ...] | Fault:
    """Split and check the channels by rows 7 and 8; no text at all means every public channel."""
    channels = tuple(filter(None, map(str.strip, text.split(","))))
    if text and not channels:
        return refuse("Invalid Channel", "error-invalid-channel")
    for channel in channels:
        if not channel.startswith(("@", "#")) and channel.lower() not in _SCOPE_WORDS:
            return refuse("Invalid channel. Start with @ or #", "error-invalid-channel-start-with-chars")
    return channels
