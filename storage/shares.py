"""How slots are shared: nobody takes so many that who comes next finds none.

Whoever has something under way may take another slot only while at least as many stay free as it then holds: half of
what is free. Whoever has nothing may take the last one. So the share of each shrinks as more want some, the one that
holds least is served first, and what is left over is as large as anybody's share. Shares nest: a creator's hooks share
what their creator may take, a hook's addresses what their hook may.

Pure counting: the queue asks it when it hands deliveries out, the worker when it calls, the resolver when it looks up.
"""

from collections import Counter
from typing import NamedTuple

from storage.clock import Millis
from storage.ids import IntegrationId, LaneId, UserId

Path = tuple[str | int, ...]
"""Who wants a slot, the outermost holder first: creator, hook, lane."""

_SILENT = "silent"


def more(held: int, free: int) -> int:
    """Return how many more slots a holder of `held` may take where so many are free."""
    return max((free - held) // 2, 1 if free > 0 and not held else 0)


class Shares:
    """Slots of one kind, held along paths."""

    def __init__(self, total: int) -> None:
        self._free = total
        self._held: Counter[Path] = Counter()

    @property
    def free(self) -> int:
        """Return how many slots nobody holds."""
        return self._free

    def held(self, path: Path) -> int:
        """Return how many slots a holder has, with all that is below it."""
        return self._held[path]

    def room(self, path: Path) -> int:
        """Return how many more slots may be taken along a path."""
        room = self._free
        for depth in range(1, len(path) + 1):
            room = more(self._held[path[:depth]], room)
        return room

    def take(self, path: Path, count: int = 1) -> None:
        """Take slots; the caller has asked whether there is room."""
        self._free -= count
        for depth in range(1, len(path) + 1):
            self._held[path[:depth]] += count

    def leave(self, path: Path) -> None:
        """Give a slot back."""
        self._free += 1
        for depth in range(1, len(path) + 1):
            self._held[path[:depth]] -= 1
            if not self._held[path[:depth]]:
                del self._held[path[:depth]]

    def copy(self) -> "Shares":
        """Return shares that are held as these are now."""
        made = Shares(self._free)
        made._held = self._held.copy()
        return made


class Caller(NamedTuple):
    """Which lane a call is for, and whose."""

    creator: UserId
    hook: IntegrationId
    lane: LaneId
    silent: bool
    """The last attempt of the lane got no answer: its next one is a probe."""
    alone: bool = False
    """Its hook has no other address: what the hook may take is the lane's."""

    @property
    def path(self) -> Path:
        return self.creator, self.hook, self.lane

    @property
    def shared(self) -> Path:
        """Return who shares with others of their kind: a hook's only address shares with none."""
        return self.path[:-1] if self.alone else self.path


class CallShares:
    """The slots of outgoing calls: shares of creator, hook and lane, and what a receiver's silence costs a lane.

    A hook's only lane shares with none: what is free for the hook is free for it.
    A lane gets all its slots only while its receiver answers; else it has one, as a probe. Silent lanes share among
    each other as one holder of the process and one of their creator: they leave room for those that are answered,
    however many they are.
    """

    def __init__(self, total: int, *, lane_slots: int, probes: int = 1) -> None:
        self._lane_slots, self._probes = lane_slots, probes
        self._hooks: dict[UserId, Counter[IntegrationId]] = {}
        """Of each creator, how many calls its hooks have under way."""
        self._shares, self._silent = Shares(total), Shares(total)
        self._answering: dict[LaneId, Millis] = {}

    def answered(self, lane: LaneId, until: Millis) -> None:
        """Note that a lane's receiver answered, and until when it counts as answering."""
        self._answering[lane] = until

    def unanswered(self, lane: LaneId) -> None:
        """Note that a lane's receiver gave no answer."""
        self._answering.pop(lane, None)

    def forget(self, now: Millis) -> None:
        """Drop the lanes whose receivers have not answered for too long."""
        for lane in [lane for lane, until in self._answering.items() if until <= now]:
            del self._answering[lane]

    def is_probing(self, caller: Caller) -> bool:
        """Tell whether the lane has fewer slots than one that is answered; nothing is kept ready for it then."""
        return self._probes < self._lane_slots and (caller.silent or caller.lane not in self._answering)

    def slots(self, caller: Caller) -> int:
        """Return how many slots the lane may have at most, whatever is free."""
        return self._probes if self.is_probing(caller) else self._lane_slots

    def held(self, caller: Caller) -> int:
        """Return how many slots the lane has."""
        return self._shares.held(caller.path)

    def held_of(self, creator: UserId) -> int:
        """Return how many slots a creator's hooks have together."""
        return self._shares.held((creator,))

    def room(self, caller: Caller) -> int:
        """Return how many more calls of the lane may begin now."""
        room = min(self.slots(caller) - self.held(caller), self._shares.room(caller.shared))
        return max(min(room, self._room_of_silent(caller.creator)) if caller.silent else room, 0)

    def is_open(self, creator: UserId, *, silent: bool) -> bool:
        """Tell whether a creator's lanes, silent or not, may begin calls at all, if they have none under way."""
        room = self._room_of_silent(creator) if silent else self._shares.room((creator,))
        return room > 0

    def _room_of_silent(self, creator: UserId) -> int:
        of_all = more(self._silent.held((_SILENT,)), self._shares.free)
        of_creator = min(of_all, self._shares.room((creator,)))
        return more(self._silent.held((_SILENT, creator)), of_creator)

    def full_hooks(self, creator: UserId) -> list[IntegrationId]:
        """Return the hooks of a creator that may take no more."""
        return [hook for hook in self._hooks.get(creator, ()) if not self._shares.room((creator, hook))]

    def take(self, caller: Caller, count: int = 1) -> None:
        """Take slots for calls that begin."""
        self._hooks.setdefault(caller.creator, Counter())[caller.hook] += count
        self._shares.take(caller.path, count)
        if caller.silent:
            self._silent.take((_SILENT, caller.creator), count)

    def leave(self, caller: Caller) -> None:
        """Give back the slot of a call, as it was taken."""
        hooks = self._hooks[caller.creator]
        hooks[caller.hook] -= 1
        if not hooks[caller.hook]:
            del hooks[caller.hook]
            if not hooks:
                del self._hooks[caller.creator]
        self._shares.leave(caller.path)
        if caller.silent:
            self._silent.leave((_SILENT, caller.creator))

    def copy(self) -> "CallShares":
        """Return what another may count on with, as a claim does."""
        made = CallShares(0, lane_slots=self._lane_slots, probes=self._probes)
        made._hooks = {creator: hooks.copy() for creator, hooks in self._hooks.items()}
        made._answering = self._answering.copy()
        made._shares, made._silent = self._shares.copy(), self._silent.copy()
        return made
