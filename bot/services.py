"""Everything the doors need, wired once by `bot/compose.py` and handed to them."""

from dataclasses import dataclass
from pathlib import Path

from bot.flows.command import CommandFlow
from bot.flows.receive import Receive
from bot.flows.room_door import RoomDoor
from bot.metrics import Metrics
from bot.outbound import Outbound
from bot.settings import Settings
from bot.workers.supervisor import Supervisor
from bot.workspace.accounts import Accounts
from bot.workspace.allotment import Allotment
from bot.workspace.chats import Chats
from bot.workspace.deliveries import Deliveries
from bot.workspace.directory import Directory
from bot.workspace.fanout import Fanout
from bot.workspace.forms import Forms
from bot.workspace.hooks import Hooks
from bot.workspace.linking import Linking
from bot.workspace.messages import Messages
from bot.workspace.posting import Posting
from bot.workspace.replay import Replay
from bot.workspace.rooms import Rooms
from bot.workspace.stream import Stream
from bot.workspace.uploads import Uploads
from bot.workspace.users import Users
from storage.clock import Clock
from storage.ports import Store


@dataclass(frozen=True, slots=True)
class Services:
    """The running workspace; each door takes what it needs from it."""

    settings: Settings
    base_url: str
    folder: Path
    clock: Clock
    store: Store
    directory: Directory
    stream: Stream
    fanout: Fanout
    posting: Posting
    rooms: Rooms
    messages: Messages
    users: Users
    accounts: Accounts
    allotment: Allotment
    hooks: Hooks
    deliveries: Deliveries
    replay: Replay
    receive: Receive
    uploads: Uploads
    commands: RoomDoor
    flow: CommandFlow
    chats: Chats
    linking: Linking
    forms: Forms
    hook_calls: Outbound
    """Calls the addresses of outgoing hooks."""
    chat_calls: Outbound
    """Calls connected chats."""
    metrics: Metrics
    supervisor: Supervisor
