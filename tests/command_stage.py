"""Commands as a door runs them, over services held in memory: a line in, an answer out."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC

from handlers.command import Answer, CommandContext, Commands, Door, Place, Unlinked, load_commands
from handlers.complete import NAMES, Offer, Suggestion, complete
from handlers.dispatch import execute
from handlers.errors import Fault
from handlers.hooks.wish import Wish
from handlers.hooks.work import HOOK_TRIALS, HOOK_WORK, Called, MadeUp, Posted
from handlers.listing import state
from handlers.nearest import nearest
from handlers.offers import HOOK_KINDS, direction_of, hook_offers, names_beginning
from handlers.permissions import permissions, visible
from handlers.references import Found, resolve
from handlers.services import HOOKS, JOURNAL, PEOPLE, STATUS, HookFilter, Services, StatusFacts, Traffic, provide
from storage.clock import Millis
from storage.errors import Spent
from storage.ids import IntegrationId, RoomId, UserId
from storage.records.audit import AuditRow
from storage.records.changes import Changes, Committed
from storage.records.delivery import Attempt
from storage.records.hook_request import HookRequest
from storage.records.integration import (
    EVERYWHERE,
    Direction,
    Hook,
    HookField,
    HookOutline,
    HookTally,
    IncomingHook,
    OutgoingHook,
    direction,
    is_expired,
)
from storage.records.pending import MOST_TRIES, Pending, PendingEnd, PendingKey, PendingKind
from storage.records.queue import Counts
from storage.records.user import Role, User
from tests.command_people import Town
from tests.command_traffic import Yard
from tests.portable_stage import Shelf
from tests.records import NOON, room, user

COMMANDS = load_commands()
OPEN = Door(name="terminal")


class Memory:
    """Proposals, undo and audit without a store; ends and expires as the store does."""

    def __init__(self) -> None:
        self.now = NOON
        self.audit: list[AuditRow] = []
        self._waiting: dict[PendingKey, Pending] = {}
        self._ended: dict[PendingKey, PendingEnd] = {}

    async def pending(self, kind: PendingKind, key: str) -> Pending | None:
        self._expire()
        return self._waiting.get(PendingKey(kind, key))

    async def pending_of(self, kind: PendingKind, user_id: UserId, place: str) -> Pending | None:
        self._expire()
        mine = [p for p in self._waiting.values() if (p.kind, p.user_id, p.place) == (kind, user_id, place)]
        return mine[-1] if mine else None

    async def pending_end(self, kind: PendingKind, key: str) -> PendingEnd | None:
        self._expire()
        return self._ended.get(PendingKey(kind, key))

    async def commit(self, changes: Changes) -> Committed:
        self._expire()
        for key in changes.pending_take:
            if key not in self._waiting:
                raise Spent
        for which in changes.pending_clear:
            for key, pending in list(self._waiting.items()):
                if (pending.kind, pending.user_id, pending.place) == which:
                    self._end(key, PendingEnd.REPLACED)
        for key in changes.pending_take:
            self._end(key, PendingEnd.TAKEN)
        for key in changes.pending_try:
            self._waiting[key] = replace(self._waiting[key], tries=self._waiting[key].tries + 1)
            if self._waiting[key].tries >= MOST_TRIES:
                self._end(key, PendingEnd.GUESSED)
        self._waiting |= {pending.named: pending for pending in changes.pending_put}
        self.audit += changes.audit
        return Committed()

    def _expire(self) -> None:
        for key, pending in list(self._waiting.items()):
            if pending.expires_at <= self.now:
                self._end(key, PendingEnd.EXPIRED)

    def _end(self, key: PendingKey, end: PendingEnd) -> None:
        del self._waiting[key]
        self._ended[key] = end


NOT_STAGED = Fault("Writing and trying hooks takes a server.")


class Unwritten:
    """Hooks that nothing writes or tries: every wish is refused, every history is empty."""

    def address(self, hook: IncomingHook) -> str:
        return ""

    async def judge(self, way: Direction, hook: Hook | None, wish: Wish) -> Hook | Fault:
        return NOT_STAGED

    async def make(self, way: Direction, hook_id: IntegrationId, wish: Wish, also: Changes) -> Hook | Fault:
        return NOT_STAGED

    async def change(self, hook: Hook, wish: Wish, also: Changes) -> Hook | Fault:
        return NOT_STAGED

    async def judge_adoption(self, hook: Hook, holder: str | None, post_as: str | None) -> Hook | Fault:
        return NOT_STAGED

    async def adopt(self, hook: Hook, holder: str | None, post_as: str | None, also: Changes) -> Hook | Fault:
        return NOT_STAGED

    async def rotate(self, hook: Hook, keep_until: Millis | None, also: Changes) -> Hook | Fault:
        return NOT_STAGED

    async def post(self, hook: IncomingHook, body: object, mark: str, also: Changes) -> Posted | Fault:
        return NOT_STAGED

    async def fire(self, hook: OutgoingHook, also: Changes) -> int | Fault:
        return NOT_STAGED

    async def made_up(self, hook: OutgoingHook, text: str | None) -> MadeUp | Fault:
        return NOT_STAGED

    async def requests(
        self, hook: IncomingHook, *, since: Millis | None, failed: bool, offset: int, count: int
    ) -> tuple[Sequence[HookRequest], int]:
        return (), 0

    async def calls(
        self, hook: OutgoingHook, *, since: Millis | None, failed: bool, offset: int, count: int
    ) -> tuple[Sequence[Called], int]:
        return (), 0

    async def request(self, hook: IncomingHook, request_id: str) -> HookRequest | None:
        return None

    async def call(self, hook: OutgoingHook, attempt_id: str) -> Attempt | None:
        return None

    async def post_again(self, hook: IncomingHook, request: HookRequest, mark: str, also: Changes) -> Posted | Fault:
        return NOT_STAGED

    async def call_again(self, hook: OutgoingHook, attempt: Attempt, also: Changes) -> Fault | None:
        return NOT_STAGED


@dataclass
class InMemory:
    """What one actor may see and do, without a store."""

    actor: User
    stored: list[Hook]
    fault: str | None = None
    failing: frozenset[IntegrationId] = frozenset()
    seen: dict[IntegrationId, Traffic] = field(default_factory=dict)
    memory: Memory = field(default_factory=Memory)
    rows: Mapping[int, str] = field(default_factory=dict)
    rooms: Sequence[str] = ("#general", "#ops")
    town: Town = field(init=False)
    yard: Yard = field(init=False)

    def __post_init__(self) -> None:
        self.town = Town(self.actor, self.memory)
        self.yard = Yard(self.actor, self.stored, self.memory)

    def _seen(self, way: Direction | None = None) -> list[Hook]:
        seen = (hook for hook in self.stored if visible(permissions(self.actor), self.actor.id, hook))
        found = sorted(seen, key=lambda hook: (hook.name.casefold(), hook.id))
        return [hook for hook in found if way in (None, direction(hook))]

    async def page(self, wanted: HookFilter, *, offset: int, count: int) -> tuple[Sequence[Hook], int]:
        channels = None if wanted.channels is None else {channel.casefold() for channel in wanted.channels}
        found = [
            hook
            for hook in self._seen(wanted.way)
            if (channels is None or not channels.isdisjoint(map(str.casefold, hook.channels or (EVERYWHERE,))))
            and not (wanted.mine and hook.created_by[0] != self.actor.id)
            and not (wanted.silent and hook.enabled and not is_expired(hook, self.memory.now))
        ]
        return found[offset : offset + count], len(found)

    async def find(self, reference: str, way: Direction | None = None) -> Found[Hook]:
        return resolve(reference, self._seen(way))

    async def near(self, word: str, way: Direction | None = None) -> Sequence[str]:
        return nearest(word, (hook.name for hook in self._seen(way)))

    async def has_namesake(self, hook: Hook) -> bool:
        same = (each for each in self._seen() if each.name.casefold() == hook.name.casefold())
        return any(each.id != hook.id for each in same)

    async def these(self, hook_ids: Collection[IntegrationId]) -> Sequence[Hook]:
        return [hook for hook in self._seen() if hook.id in hook_ids]

    async def traffic(self, hook_ids: Sequence[IntegrationId]) -> Mapping[IntegrationId, Traffic]:
        return {hook_id: self.seen[hook_id] for hook_id in hook_ids if hook_id in self.seen}

    async def remove_hook(self, hook: Hook, also: Changes) -> str | None:
        if self.fault is None:
            await self.memory.commit(also)
            self.stored.remove(hook)
        return self.fault

    async def stops(self, hook: Hook) -> str | None:
        return None

    async def queue_counts(self, hook_id: IntegrationId | None = None) -> Counts:
        return Counts(queued=41, dead=2, oldest_queued_at=Millis(NOON - 7_200_000))

    async def status(self) -> StatusFacts:
        states = Counter(state(hook, self.context()) for hook in self._seen())
        failing = [hook for hook in self._seen() if hook.id in self.failing]
        return StatusFacts(
            version="0.1.0",
            counts=await self.queue_counts(),
            hooks=HookTally(
                incoming=len(self._seen(Direction.INCOMING)),
                outgoing=len(self._seen(Direction.OUTGOING)),
                off=states["off"],
                expired=states["expired"],
                muted=states["muted"],
            ),
            failing=tuple(map(_outline, failing)),
            failing_count=len(failing),
        )

    async def holders(self, role: Role) -> Sequence[str]:
        return ["mia", "tom"]

    async def offers(self, kind: str, typed: str, most: int) -> Sequence[Offer]:
        if kind in HOOK_KINDS:
            way = dict(direction_of(kind)).get(HookField.DIRECTION)
            latest = sorted(self._seen(), key=lambda hook: (-hook.updated_at, hook.name))
            named = (hook for hook in latest if hook.name.casefold().startswith(typed.casefold()))
            return hook_offers(_outline(hook) for hook in named if way in (None, direction(hook)))[:most]
        return names_beginning(dict.fromkeys(self.rooms, ""), typed, most) if kind == "rooms" else ()

    def context(self, door: Door = OPEN, *, place: str = "general", unlinked: Unlinked | None = None) -> CommandContext:
        """Return what a line of the actor is run in."""
        here = room() if place == "general" else room(id=RoomId(place), name=place)
        return CommandContext(
            actor=self.actor,
            permissions=frozenset() if unlinked else permissions(self.actor),
            services=Services(
                provide(HOOKS, self),
                provide(PEOPLE, self),
                provide(STATUS, self),
                provide(JOURNAL, self.memory),
                provide(NAMES, self),
                provide(HOOK_WORK, Unwritten()),
                provide(HOOK_TRIALS, Unwritten()),
                *self.town.provided(),
                *self.yard.provided(),
                *Shelf().provided(),
            ),
            now=self.memory.now,
            zone=UTC,
            place=Place(channel=here.id, room=here),
            door=door,
            unlinked=unlinked,
            last_list=self.rows,
        )

    async def typed(
        self,
        line: str,
        door: Door = OPEN,
        *,
        place: str = "general",
        unlinked: Unlinked | None = None,
        private: Mapping[str, str] | None = None,
        commands: Commands = COMMANDS,
    ) -> Answer:
        """Run a line as the actor, and remember the list it answers with."""
        context = replace(self.context(door, place=place, unlinked=unlinked), private=private or {})
        answer = await execute(line, context, commands)
        if answer.rows or answer.listed:
            self.rows = dict(enumerate(answer.rows, answer.first_row))
        return answer

    async def completed(self, line: str, cursor: int | None = None, commands: Commands = COMMANDS) -> list[Suggestion]:
        """Complete a line as the actor."""
        at = len(line) if cursor is None else cursor
        return await complete(line, at, context=self.context(), commands=commands)


def _outline(hook: Hook) -> HookOutline:
    return HookOutline(id=hook.id, name=hook.name, direction=direction(hook))


def somebody_else(on: InMemory) -> InMemory:
    """Return another person over the same hooks and proposals."""
    other = user(id=UserId("bob"), username="bob", role=Role.ADMIN)
    return InMemory(other, on.stored, memory=on.memory)


def code_of(asked: Answer) -> str:
    """Return the code a confirmation asks for."""
    assert asked.code == "confirm", asked.text
    assert isinstance(asked.data, dict)
    return str(asked.data["code"])
