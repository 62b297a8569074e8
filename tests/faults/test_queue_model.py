"""The queue against a small model: any order of accept, claim, settle, crash, delete, disable, replay and time."""

import asyncio
import tempfile
from collections import Counter
from collections.abc import Awaitable, Collection
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from storage.ids import GENERAL, ROCKET_CAT, DeliveryId, IntegrationId, LaneId, MessageId
from storage.ports import Store
from storage.records.changes import Changes, Dedup, Fact
from storage.records.delivery import DeliveryState, NewDelivery
from storage.records.integration import OutgoingHook
from storage.records.queue import Leased
from storage.sqlite.queue import SUSPECT_RECEIVES
from tests.clock import ManualClock
from tests.contracts.store import units
from tests.contracts.store.engine import SqliteEngine
from tests.faults import extent
from tests.records import ORG, incoming, message, outgoing, room, user

T = TypeVar("T")
Lane = tuple[IntegrationId, str]
LANE_SLOTS = (1, 2, 6)
"""A claim may ask for less of a lane than one before it: then more is in hand than there are slots."""
ROOM_FOR_ALL = 100
QUEUED, DELIVERED, DEAD, DISCARDED = (
    DeliveryState.QUEUED,
    DeliveryState.DELIVERED,
    DeliveryState.DEAD,
    DeliveryState.DISCARDED,
)
URLS = ("https://a.example.test/in", "https://b.example.test/in")
RETRY_MS = 500
ENDS = ("retry", "dead", "release", "lost", "delivered")
"""How an attempt ends; `lost` is a worker's fault: it never settles."""
ANY = st.integers(0, 1 << 16)
"""Picks one of whatever there is."""


@dataclass
class Item:
    """A delivery as the model knows it."""

    lane: Lane
    state: DeliveryState = QUEUED
    due: int = 0
    """When it may be claimed."""
    lease: int | None = None
    tries: int = 0
    receives: int = 0
    """Leases without a settle."""


@dataclass
class Turn:
    """What a claim does with a lane."""

    taken: set[DeliveryId] = field(default_factory=set)
    renewed: set[DeliveryId] = field(default_factory=set)
    suspected: bool = False
    """Something is leased only while nothing else of the lane is in hand, or waits for that."""


@dataclass
class Model:
    """What must be true."""

    hooks: dict[IntegrationId, OutgoingHook] = field(default_factory=dict)
    items: dict[DeliveryId, Item] = field(default_factory=dict)
    posted: set[str] = field(default_factory=set)
    asleep: dict[Lane, int] = field(default_factory=dict)
    """Until when lanes that were full may sleep, unless one of their attempts settles."""

    def queued(self, lane: Lane) -> list[tuple[DeliveryId, Item]]:
        """Return what is queued in a lane, oldest first."""
        return [(key, one) for key, one in sorted(self.items.items()) if one.lane == lane and one.state is QUEUED]

    def live_lanes(self) -> set[Lane]:
        return {(hook.id, url) for hook in self.hooks.values() if hook.enabled for url in hook.urls}

    def is_idle(self, lane: Lane, now: int) -> bool:
        """Tell whether something is due in a lane of which nothing is leased."""
        queued = self.queued(lane)
        if any(one.lease is not None for _, one in queued):
            return False
        head = queued[:1] if self.hooks[lane[0]].ordered else queued
        return any(one.due <= now for _, one in head)

    def is_awake(self, lane: Lane, now: int) -> bool:
        """Tell whether a claim must look at a parallel lane: something is due, and nothing lets it sleep."""
        return self.asleep.get(lane, 0) <= now and any(one.due <= now for _, one in self.queued(lane))

    def turn(self, lane: Lane, now: int, *, free: int, in_hand: Collection[DeliveryId]) -> Turn:
        """Return what becomes of a parallel lane that is awake and has so many free slots."""
        turn = Turn()
        due = sorted(((key, one) for key, one in self.queued(lane) if one.due <= now), key=lambda pair: pair[1].due)
        busy = any(key in in_hand for key, _ in self.queued(lane))
        for key, one in due[: max(free, 0)]:
            if key in in_hand:
                turn.renewed.add(key)
                continue
            turn.suspected = one.receives >= SUSPECT_RECEIVES
            if not turn.suspected or not (turn.taken or busy):
                turn.taken.add(key)
            if turn.suspected:
                break
        return turn


class QueueMachine(RuleBasedStateMachine):
    """Drives a store on a real file, and the model beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory()
        self.clock = ManualClock()
        self.engine = SqliteEngine(Path(self.folder.name) / "patchbay.db", self.clock)
        self.model = Model()
        self.in_hand: list[Leased] = []
        """What the worker of this life holds."""
        self.of_earlier_lives: list[Leased] = []
        self.made = 0
        self.store: Store

    def do(self, work: Awaitable[T]) -> T:
        async def run() -> T:
            return await work

        return self.runner.run(run())

    def open(self) -> None:
        async def opened() -> Store:
            return self.engine.open()

        self.store = self.runner.run(opened())

    def teardown(self) -> None:
        try:
            if hasattr(self, "store"):
                self.drain()
                self.do(self.store.close())
        finally:
            self.runner.close()
            self.folder.cleanup()

    @property
    def now(self) -> int:
        return self.clock.steady()

    @initialize()
    def begin(self) -> None:
        self.open()
        self.do(self.store.make_organisation(ORG, "Home", self.clock.now()))
        people = (user(), user(id=ROCKET_CAT, username="rocket.cat", is_bot=True))
        self.do(self.store.commit(Changes(new_users=people, new_rooms=(room(),), new_hooks=(incoming(),))))
        # something to work on: without it most of what chance does first does nothing
        for ordered in (False, True):
            self.make_hook(ordered=ordered)
            self.accept(which=ordered, posts=2, again=False)

    # --- hooks --------------------------------------------------------------------------------------

    def pick(self, which: int) -> OutgoingHook | None:
        hooks = sorted(self.model.hooks.values(), key=lambda hook: hook.id)
        return hooks[which % len(hooks)] if hooks else None

    @precondition(lambda self: len(self.model.hooks) < 3)
    @rule(ordered=st.booleans())
    def make_hook(self, ordered: bool) -> None:
        self.made += 1
        made = outgoing(id=IntegrationId(f"{self.made:024x}"), urls=URLS, ordered=ordered)
        self.do(self.store.commit(Changes(new_hooks=(made,))))
        self.model.hooks[made.id] = made

    @rule(which=ANY)
    def disable_or_enable(self, which: int) -> None:
        if (old := self.pick(which)) is not None:
            changed = replace(old, enabled=not old.enabled, version=old.version + 1)
            self.do(self.store.commit(Changes(put_hooks=(changed,))))
            self.model.hooks[old.id] = changed

    @rule(which=ANY, at_work=st.booleans())
    def delete(self, which: int, at_work: bool) -> None:
        """Delete a hook; `at_work` has the worker take what it can get just before."""
        if at_work:
            self.claimed(ROOM_FOR_ALL)
        if (hook := self.pick(which)) is not None:
            self.do(self.store.commit(Changes(drop_hooks=(hook.id,))))
            del self.model.hooks[hook.id]
            for item in self.model.items.values():
                if item.lane[0] == hook.id and item.state is QUEUED:
                    item.state, item.lease = DISCARDED, None

    # --- accept -------------------------------------------------------------------------------------

    @rule(which=ANY, posts=st.integers(1, 4), again=st.booleans())
    def accept(self, which: int, posts: int, again: bool) -> None:
        """Post for a hook, each a moment after the other; with `again` every request comes twice."""
        if (hook := self.pick(which)) is not None:
            for _ in range(posts):
                self.clock.advance(1)
                self.accept_one(hook.id, hook.urls, times=1 + again)

    @rule()
    def accept_for_nobody(self) -> None:
        """Deliveries to a hook that was deleted meanwhile are left out."""
        self.accept_one(IntegrationId("f" * 24), URLS, times=1)

    def accept_one(self, hook_id: IntegrationId, urls: tuple[str, ...], *, times: int) -> None:
        self.made += 1
        text = f"m{self.made}"
        first = self.do(self.store.deliveries(count=1))[1] + 1
        for time in range(times):
            deliveries = tuple(NewDelivery(integration_id=hook_id, url_hash=self.store.lookup(url)) for url in urls)
            changes = Changes(
                dedup=Dedup(integration_id=incoming().id, key=text, body_hash=b"", at=self.clock.now()),
                new_messages=(message(id=MessageId(f"{text}r{time}"), text=text),),
                facts=(Fact(event=units.event(body={"text": text}), deliveries=deliveries),),
            )
            assert self.do(self.store.commit(changes)).duplicate is (time > 0)
        self.model.posted.add(text)
        if hook_id in self.model.hooks:
            for number, url in enumerate(urls):
                self.model.items[DeliveryId(first + number)] = Item((hook_id, url), due=self.now)
                self.model.asleep.pop((hook_id, url), None)

    # --- claim and settle ---------------------------------------------------------------------------

    @rule(limit=st.sampled_from((ROOM_FOR_ALL, 3, 1)), lane_leases=st.sampled_from(LANE_SLOTS))
    def claim(self, limit: int, lane_leases: int) -> None:
        """Claim; with room for all, every lane with something due and a free slot is served."""
        self.claimed(limit, lane_leases)

    @rule(
        which=ANY,
        rounds=st.lists(
            st.tuples(st.integers(0, 3), st.booleans(), st.sampled_from(LANE_SLOTS)), min_size=2, max_size=6
        ),
    )
    def claim_ahead(self, which: int, rounds: list[tuple[int, bool, int]]) -> None:
        """Claim again and again beside what is in hand: after more was posted, after the leases ran out."""
        for posts, overdue, lane_leases in rounds:
            self.accept(which, posts, again=False)
            if overdue:
                self.clock.advance(units.LEASE_MS)
            self.claimed(ROOM_FOR_ALL, lane_leases)

    @precondition(lambda self: not any(item.receives > SUSPECT_RECEIVES for item in self.model.items.values()))
    @rule(times=st.integers(1, SUSPECT_RECEIVES))
    def lose(self, times: int) -> None:
        """A worker that takes all it can get and settles nothing, again and again: what it had becomes suspect."""
        for _ in range(times):
            self.claimed(ROOM_FOR_ALL, max(LANE_SLOTS))
            self.in_hand.clear()
            self.clock.advance(units.LEASE_MS)

    def claimed(self, limit: int, lane_leases: int = 2) -> list[Leased]:
        busy = Counter(leased.delivery.lane_id for leased in self.in_hand)
        in_hand = frozenset(leased.delivery.id for leased in self.in_hand)
        free = self.free(lane_leases)
        idle = {lane for lane in free if self.model.is_idle(lane, self.now)}
        awake = {lane for lane in free if self.model.is_awake(lane, self.now)}
        turns = {
            lane: self.model.turn(lane, self.now, free=free[lane], in_hand=in_hand)
            for lane in awake
            if not self.model.hooks[lane[0]].ordered  # there is nothing beside what is in hand
        }
        claim = self.store.claim(
            now=self.clock.steady(),
            limit=limit,
            busy=Counter(busy),
            in_hand=in_hand,
            lease_ms=units.LEASE_MS,
            lane_leases=lane_leases,
        )
        taken = self.do(claim).leases
        assert len(taken) <= limit
        assert in_hand.isdisjoint(leased.delivery.id for leased in taken), "given to who has it already"
        for leased in taken:
            self.check_claim(leased, busy, lane_leases)
        renewed = self.renewals()
        of_lane: dict[Lane, set[DeliveryId]] = {lane: set() for lane in free}
        for leased in taken:
            of_lane[self.model.items[leased.delivery.id].lane].add(leased.delivery.id)
        if limit == ROOM_FOR_ALL:
            assert idle <= {lane for lane, ids in of_lane.items() if ids}, "due and not claimed"
            for lane, turn in turns.items():
                assert of_lane[lane] == turn.taken, "due, with a slot free, and not claimed"
                assert turn.renewed <= renewed, "in hand and not renewed"
        for lane in awake:  # with a small limit it may not have had its turn: then it sleeps less than it may
            if len(of_lane[lane]) >= free[lane] or (lane in turns and turns[lane].suspected):
                self.model.asleep[lane] = self.now + units.LEASE_MS
        self.in_hand += taken
        return list(taken)

    def free(self, lane_leases: int) -> dict[Lane, int]:
        """Return how many slots of each live lane nothing in hand takes; fewer than none after a larger claim."""
        busy = Counter(self.model.items[leased.delivery.id].lane for leased in self.in_hand)
        return {
            lane: (1 if self.model.hooks[lane[0]].ordered else lane_leases) - busy[lane]
            for lane in self.model.live_lanes()
        }

    def renewals(self) -> set[DeliveryId]:
        """Note and return what the last claim renewed: leases in hand that ran out, if their lane had its turn."""
        renewed = set[DeliveryId]()
        for leased in self.in_hand:
            item = self.model.items[leased.delivery.id]
            if item.state is not QUEUED or item.due > self.now or self.model.hooks[item.lane[0]].ordered:
                continue
            stored = self.do(self.store.delivery(leased.delivery.id))
            assert stored is not None
            assert stored.available_at in (item.due, self.now + units.LEASE_MS)
            if stored.available_at > self.now:
                renewed.add(leased.delivery.id)
                item.due = stored.available_at
        return renewed

    def check_claim(self, leased: Leased, busy: Counter[LaneId], lane_leases: int) -> None:
        """Assert that it was due, of a live hook, in its turn and within the lane's slots; note the lease."""
        item = self.model.items[leased.delivery.id]
        hook = self.model.hooks[item.lane[0]]
        assert item.state is QUEUED, "claimed although it had ended"
        assert item.due <= self.now, "claimed before its time"
        assert hook.enabled, "claimed although its hook is disabled"
        assert leased.hook == hook, "attempted with the hook as it was"
        assert leased.delivery.tries == item.tries
        assert leased.delivery.receives == item.receives
        if hook.ordered:
            assert self.model.queued(item.lane)[0][0] == leased.delivery.id, "not its turn"
        lane = leased.delivery.lane_id
        busy[lane] += 1
        assert busy[lane] <= (1 if hook.ordered else lane_leases), "more of a lane at once than it may"
        item.lease, item.due = leased.lease, leased.until
        item.receives += 1

    @precondition(lambda self: self.in_hand)
    @rule(which=ANY, end=st.sampled_from(ENDS))
    def settle(self, which: int, end: str) -> None:
        """End an attempt."""
        self.finish(self.in_hand.pop(which % len(self.in_hand)), end)

    @precondition(lambda self: self.of_earlier_lives)
    @rule(which=ANY, end=st.sampled_from(ENDS))
    def settle_from_an_earlier_life(self, which: int, end: str) -> None:
        """A lease of a process that is gone may report nothing, unless the next one gave out the same."""
        leased = self.of_earlier_lives.pop(which % len(self.of_earlier_lives))
        if self.model.items[leased.delivery.id].lease != leased.lease:
            self.finish(leased, end)

    def finish(self, leased: Leased, end: str) -> None:
        if end == "lost":
            return
        state = {"delivered": DELIVERED, "dead": DEAD}.get(end, QUEUED)
        retry_at = self.now + RETRY_MS if end == "retry" else None
        tried = end != "release"
        work = units.settle(self.store, leased, self.now, state=state, retry_at=retry_at, tried=tried)
        fenced = self.do(work).fenced
        item = self.model.items[leased.delivery.id]
        assert fenced is (item.lease != leased.lease), "who lost the lease is fenced, nobody else"
        if not fenced:
            item.state, item.lease, item.due = state, None, retry_at or 0
            item.tries += tried
            item.receives = 0 if tried else item.receives - 1
            self.model.asleep.pop(item.lane, None)

    # --- what happens besides -----------------------------------------------------------------------

    @rule()
    def crash(self) -> None:
        """The process is gone and comes back: leases are void, nothing else changes."""
        self.do(self.store.close())
        self.open()
        self.of_earlier_lives += self.in_hand
        self.in_hand.clear()
        for item in self.model.items.values():
            if item.lease is not None:
                item.lease, item.due = None, 0
                self.model.asleep.pop(item.lane, None)

    @rule(dying=st.booleans())
    def replay(self, dying: bool) -> None:
        """Replay every dead letter; those whose hook is gone stay dead. `dying` ends all attempts as such first."""
        while dying and self.in_hand:
            self.finish(self.in_hand.pop(), "dead")
        dead = {key: item for key, item in self.model.items.items() if item.state is DEAD}
        live = [item for item in dead.values() if item.lane[0] in self.model.hooks]
        assert self.do(self.store.replay_dead(list(dead))) == len(live)
        for item in live:
            item.state, item.tries, item.receives, item.due = QUEUED, 0, 0, self.now
            self.model.asleep.pop(item.lane, None)

    @rule(ms=st.sampled_from((1, RETRY_MS, units.LEASE_MS)))
    def advance(self, ms: int) -> None:
        self.clock.advance(ms)

    @rule(ms=st.sampled_from((-3_600_000, 3_600_000)))
    def step_the_wall_clock(self, ms: int) -> None:
        self.clock.step_wall(ms)

    # --- what always holds --------------------------------------------------------------------------

    @invariant()
    def same_as_the_model(self) -> None:
        if hasattr(self, "store"):
            found = self.do(self.store.deliveries(count=1000))[0]
            expected = {key: (item.state, item.tries) for key, item in self.model.items.items()}
            assert {one.id: (one.state, one.tries) for one in found} == expected

    def drain(self) -> None:
        """Let every lease run out and settle what comes: all of a live hook is delivered, each message stands once."""
        self.clock.advance(2 * units.LEASE_MS)
        self.in_hand.clear()
        while taken := self.claimed(ROOM_FOR_ALL):
            for leased in taken:
                self.finish(leased, "delivered")
            self.in_hand.clear()
        assert [lane for lane in self.model.live_lanes() if self.model.queued(lane)] == [], "never delivered"
        texts = [one.text for one in self.do(self.store.messages(GENERAL, count=1000))[0]]
        assert sorted(texts) == sorted(self.model.posted)
        assert self.do(self.store.check()) == []


@pytest.mark.timeout(1200)
def test_the_queue_is_what_the_model_is() -> None:
    """Whatever is done in whatever order, the queue does what the model does."""
    run_state_machine_as_test(
        QueueMachine,
        settings=settings(
            max_examples=extent.of(80, 2500),
            stateful_step_count=40,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
