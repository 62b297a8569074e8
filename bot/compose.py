"""The composition root: opens the store and wires everything else; it alone names a concrete driver."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from functools import partial
from zoneinfo import ZoneInfo

from bot.flows.command import CommandFlow
from bot.flows.deliver import Deliver
from bot.flows.desks import Kit
from bot.flows.notices import Notices
from bot.flows.outages import Outages
from bot.flows.pace import Pace
from bot.flows.receive import Receive
from bot.flows.respond import Respond
from bot.flows.room_door import RoomDoor
from bot.folder import Folder
from bot.metrics import Metrics
from bot.outbound import CHAT_CALLS, Outbound
from bot.services import Services
from bot.settings import Settings
from bot.whole import judge
from bot.workers import presence
from bot.workers.delivery import DeliveryWorker
from bot.workers.loop_watch import LoopWatch
from bot.workers.supervisor import Supervisor, Worker
from bot.workers.upkeep import foreign_commits, held_expiry, retention, unconfirmed_uploads
from bot.workspace.accounts import Accounts
from bot.workspace.allotment import Allotment
from bot.workspace.chats import Chats
from bot.workspace.deliveries import Deliveries
from bot.workspace.directory import Directory
from bot.workspace.fanout import Fanout
from bot.workspace.first_start import FirstStart, first_start, organisation
from bot.workspace.forms import Forms
from bot.workspace.hooks import Hooks
from bot.workspace.linking import Linking
from bot.workspace.messages import Messages
from bot.workspace.passwords import Passwords
from bot.workspace.posting import Posting
from bot.workspace.replay import Replay
from bot.workspace.rooms import Rooms
from bot.workspace.stream import Stream
from bot.workspace.uploads import Uploads
from bot.workspace.users import Users
from handlers.formatter import available
from handlers.outgoing.scopes import hook_scopes
from handlers.targets import AllowList
from storage.clock import Clock
from storage.ports import Store
from storage.sqlite import check_value, sealed
from storage.sqlite.connect import connect, translated
from storage.sqlite.migrating import pending_migrations
from storage.sqlite.store import open_store
from storage.sqlite.upkeep import backup, check
from storage.vault import Vault, new_key, parse_keys, read_key_file, write_key_file


@asynccontextmanager
async def open_services(
    settings: Settings,
    folder: Folder,
    clock: Clock,
    *,
    base_url: str,
    serving: bool,
    apart: bool = False,
    passwords: Passwords | None = None,
) -> AsyncIterator[tuple[Services, FirstStart | None]]:
    """Open a data folder and wire the workspace on it; the first time also fill it.

    `serving` marks the one process that owns the queue; `apart` writes in a process of its own.
    Raises StorageError with one clear sentence; of a folder that is not whole nothing was touched then.
    """
    judge_folder(settings, folder)
    if not folder.database.exists():
        folder.first_start.touch(mode=0o600)
    vault = _vault(settings, folder)
    copy = folder.backups / f"before-migration-{clock.now()}.db"
    store = open_store(
        folder.database,
        vault,
        clock,
        hook_scopes,
        serving=serving,
        before_migration=lambda: backup(folder.database, copy, None),
        apart=apart,
    )
    try:
        passwords = passwords or Passwords()
        org = await organisation(store, clock)
        first = await first_start(store, org, settings, passwords, clock)
        folder.first_start.unlink(missing_ok=True)
        directory = Directory(store, org)
        stream = Stream(store, await store.last_event())
        services = _wire(settings, folder, clock, store, directory, stream, passwords, base_url, vault)
        try:
            yield services, first
        finally:
            await services.accounts.close()
    finally:
        await store.close()


def judge_folder(settings: Settings, folder: Folder) -> None:
    """Raise StorageError when a data folder is not whole, or its key is another one; nothing is touched."""
    judge(folder, keys_given=settings.encryption_key is not None, holds_nothing=check_value.holds_nothing)
    if folder.database.exists() and not folder.first_start.exists():
        check_value.judge(folder.database, _vault(settings, folder))


def check_database(settings: Settings, folder: Folder) -> tuple[list[str], bool]:
    """Return what is wrong with the file, and whether it is of an older version; nothing is written to it.

    Raises StorageError when the folder is not whole, or the file cannot be read at all or is of a newer version.
    """
    judge_folder(settings, folder)
    with closing(connect(folder.database, readonly=True)) as connection, translated(folder.database):
        pending = pending_migrations(connection, folder.database)
        faults = check(connection)
        if not faults and not pending:
            unreadable = sealed.damaged(connection, _vault(settings, folder))
            faults = [f"{name}: what is sealed there cannot be opened; remove it" for name in unreadable]
        return faults, bool(pending)


def _vault(settings: Settings, folder: Folder) -> Vault:
    if settings.encryption_key is not None:
        return Vault(parse_keys(settings.encryption_key.get_secret_value()))
    key_file = folder.key_file
    if folder.first_start.exists() and not key_file.exists():
        write_key_file(key_file, [new_key()])
    return Vault(read_key_file(key_file), reread=partial(read_key_file, key_file.absolute()))


def _wire(
    settings: Settings,
    folder: Folder,
    clock: Clock,
    store: Store,
    directory: Directory,
    stream: Stream,
    passwords: Passwords,
    base_url: str,
    vault: Vault,
) -> Services:
    allow = AllowList.parse(settings.allow_targets)
    metrics = Metrics(clock)
    fanout = Fanout(directory, store, store, clock)
    allotment = Allotment(store, clock, settings.hook_bytes_per_day)
    posting = Posting(directory, store, fanout, clock, allotment)
    accounts = Accounts(store, directory, passwords, clock)
    hooks = Hooks(directory, store, fanout, clock, allow, hooks_per_user=settings.hooks_per_user)
    notices = Notices(posting, ZoneInfo(settings.time_zone))
    hook_calls = Outbound(allow, limit=settings.outgoing_concurrency)
    chat_calls = Outbound(allow, limit=CHAT_CALLS, shares_calls=True)
    uploads = Uploads(
        directory,
        store,
        posting,
        fanout,
        clock,
        folder.uploads,
        max_bytes=settings.max_upload_bytes,
        quota_bytes=settings.upload_quota_bytes,
        max_chars=settings.message_max_chars,
    )
    deliver = Deliver(
        sender=hook_calls,
        directory=directory,
        fanout=fanout,
        respond=Respond(directory, posting, notices, max_chars=settings.message_max_chars),
        notices=notices,
        outages=Outages(store, clock),
        secrets=store,
        clock=clock,
        meter=metrics,
        site_url=base_url,
        deadline_s=settings.outgoing_timeout_s,
    )
    pace = Pace(clock)
    worker = DeliveryWorker(
        store, deliver, clock, pace, concurrency=settings.outgoing_concurrency, deadline_s=settings.outgoing_timeout_s
    )
    store.subscribe(worker.heard)
    stream.on_elsewhere(worker.heard)
    store.on_queued(worker.queued)

    async def changed_elsewhere() -> None:
        directory.clear()
        await stream.read_elsewhere()
        worker.notify()
        await store.follow_keys()  # `keys rotate` may have put a new one first

    def unheard() -> None:
        directory.clear()
        stream.read_on()
        worker.notify()

    store.on_unheard(unheard)
    watched = {"database": presence.database(store), "uploads": presence.uploads(folder.uploads.absolute())}
    if settings.encryption_key is None:
        watched["key file"] = presence.key_file(folder.key_file.absolute())
    workers: list[Worker] = [
        presence.Presence(watched, store.condition),
        foreign_commits(store, changed_elsewhere),
        held_expiry(store),
        retention(store, clock),
        unconfirmed_uploads(uploads.purge_unconfirmed, clock),
        worker,
    ]
    if settings.loop_watch_ms:
        workers.append(LoopWatch(clock, settings.loop_watch_ms))
    supervisor = Supervisor(workers, clock)
    rooms = Rooms(directory, store, fanout, posting, clock, hooks.rename_room)
    users = Users(store, directory, fanout, posting, accounts, passwords, clock)
    deliveries = Deliveries(store, directory)
    receive = Receive(directory, posting, store, available(), notices, pace, clock, settings.message_max_chars)
    replay = Replay(store, directory, fanout, clock, site_url=base_url)
    linking = Linking(store, directory, clock)
    kit = Kit(
        store=store,
        directory=directory,
        fanout=fanout,
        posting=posting,
        hooks=hooks,
        rooms=rooms,
        users=users,
        accounts=accounts,
        deliveries=deliveries,
        replay=replay,
        receive=receive,
        linking=linking,
        clock=clock,
        base_url=base_url,
        max_body=settings.max_body_bytes,
    )
    flow = CommandFlow(kit, ZoneInfo(settings.time_zone))
    forms = Forms(store, directory, clock, base_url)
    return Services(
        settings=settings,
        base_url=base_url,
        folder=folder.path,
        clock=clock,
        store=store,
        directory=directory,
        stream=stream,
        fanout=fanout,
        posting=posting,
        rooms=rooms,
        messages=Messages(directory, store, store, fanout, posting, clock, allotment, settings.message_max_chars),
        users=users,
        accounts=accounts,
        allotment=allotment,
        hooks=hooks,
        deliveries=deliveries,
        replay=replay,
        receive=receive,
        uploads=uploads,
        commands=RoomDoor(flow, store, directory, posting, forms, clock),
        flow=flow,
        chats=Chats(store, directory, chat_calls, clock, allow),
        linking=linking,
        forms=forms,
        hook_calls=hook_calls,
        chat_calls=chat_calls,
        metrics=metrics,
        supervisor=supervisor,
    )
