"""Who answers what commands ask: each module of `desk/` serves one need, on behalf of one caller."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from bot.flows import desk
from bot.flows.receive import Receive
from bot.workspace.accounts import Accounts
from bot.workspace.deliveries import Deliveries
from bot.workspace.directory import Directory
from bot.workspace.fanout import Fanout
from bot.workspace.hooks import Hooks
from bot.workspace.linking import Linking
from bot.workspace.posting import Posting
from bot.workspace.replay import Replay
from bot.workspace.rooms import Rooms
from bot.workspace.users import Users
from handlers.command import Commands, Door, Place, Unlinked
from handlers.registry import load
from handlers.services import Need, Services
from storage import ports
from storage.clock import Clock
from storage.records.user import User

T = TypeVar("T")


class DeskStore(
    ports.Ledger,
    ports.History,
    ports.Queue,
    ports.Messages,
    ports.Rooms,
    ports.Events,
    ports.Integrations,
    ports.Pendings,
    ports.Audits,
    ports.Workspaces,
    ports.Accounts,
    ports.Secrets,
    Protocol,
):
    """What commands read beside the directory, and where they write."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kit:
    """The parts of the workspace that desks are made of; a new part is one line here and one in `compose`."""

    store: DeskStore
    directory: Directory
    fanout: Fanout
    posting: Posting
    hooks: Hooks
    rooms: Rooms
    users: Users
    accounts: Accounts
    deliveries: Deliveries
    replay: Replay
    receive: Receive
    linking: Linking
    clock: Clock
    base_url: str
    max_body: int
    """How long a request to a hook may be, unpacked (`PATCHBAY_MAX_BODY_BYTES`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """On whose behalf a desk acts, and from where."""

    user: User
    """For somebody unlinked a stand-in without rights."""
    place: Place
    door: Door
    sender: tuple[str, str] | None = None
    """Workspace id and user id of the other chat the line came from."""
    unlinked: Unlinked | None = None


@dataclass(frozen=True, slots=True)
class Desk:
    """Which need a module serves, and how: `make` is called for each line that is run."""

    need: Need[Any]  # Any: `make` is checked where `DESK` is declared, by its own annotation
    make: Callable[[Kit, Caller], object]

    @property
    def name(self) -> str:
        return self.need.name


def load_desks() -> Mapping[str, Desk]:
    """Return the desks by the name of their need."""
    desks: Mapping[str, Desk] = load(desk, "DESK")
    return desks


def check(commands: Commands, desks: Mapping[str, Desk]) -> None:
    """Raise `ValueError` when a noun needs what no desk serves: the server should not start."""
    for noun in commands.nouns:
        for need in noun.needs:
            if need.name not in desks:
                raise ValueError(f"The noun {noun.name!r} needs {need.name!r}, and bot/flows/desk/ does not serve it")


class Served(Services):
    """Everything one caller's command may ask; a desk is made when it is asked for, because most lines ask for one."""

    def __init__(self, desks: Mapping[str, Desk], kit: Kit, caller: Caller) -> None:
        super().__init__()
        self._desks = desks
        self._kit = kit
        self._caller = caller

    def of(self, need: Need[T]) -> T:
        """Return what answers a need; `KeyError` names one that nothing answers (checked at start)."""
        if need.name not in self._things:
            self._things[need.name] = self._desks[need.name].make(self._kit, self._caller)
        return super().of(need)
