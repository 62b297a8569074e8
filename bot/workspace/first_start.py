"""The first start: organisation, owner, `rocket.cat`, `#general` and one incoming hook (decisions 6, 7, 18, 21)."""

from dataclasses import dataclass, field
from typing import Protocol
from uuid import uuid4

from bot.settings import Settings
from bot.workspace.passwords import Passwords, digest_of, one_time_password
from storage.clock import Clock, Millis
from storage.ids import GENERAL, ROCKET_CAT, IntegrationId, OrgId, UserId, hook_token, integration_id, random_text
from storage.ports import Ledger, Users
from storage.records.changes import Changes
from storage.records.integration import IncomingHook
from storage.records.room import Member, Room, RoomKind
from storage.records.user import Role, User

FIRST_HOOK = "first-hook"


class FirstStartStore(Ledger, Users, Protocol):
    """What the first start writes to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstStart:
    """What is printed once and never again."""

    username: str
    password: str | None = field(repr=False)
    """None when the settings named it."""
    hook_id: IntegrationId
    hook_token: str = field(repr=False)


async def organisation(store: Users, clock: Clock) -> OrgId:
    """Return the organisation that is served, making it when there is none."""
    org = await store.organisation()
    if org is None:
        org = OrgId(str(uuid4()))
        await store.make_organisation(org, "Patchbay", clock.now())
    return org


async def first_start(
    store: FirstStartStore, org: OrgId, settings: Settings, passwords: Passwords, clock: Clock
) -> FirstStart | None:
    """Fill an organisation without users, in one commit; None when that was done before.

    Call it before a directory remembers anything: nobody waits for these changes, they carry no facts.
    """
    if await store.users(org):
        return None
    username = settings.owner_username
    given = settings.owner_password
    password = given.get_secret_value() if given else one_time_password()
    token = hook_token()
    now = clock.now()
    owner = User(
        id=UserId(random_text(17)),
        org_id=org,
        username=username,
        name=username,
        emails=(settings.owner_email,) if settings.owner_email else (),
        role=Role.OWNER,
        created_at=now,
        password_hash=await passwords.hash(digest_of(password)),
    )
    hook = _hook(owner, token, now)
    await store.commit(_everything(owner, hook, now))
    return FirstStart(username=username, password=None if given else password, hook_id=hook.id, hook_token=token)


def _everything(owner: User, hook: IncomingHook, now: Millis) -> Changes:
    cat = User(
        id=ROCKET_CAT,
        org_id=owner.org_id,
        username=ROCKET_CAT,
        name="Rocket.Cat",
        is_bot=True,
        type="bot",
        created_at=now,
    )
    general = Room(
        id=GENERAL,
        org_id=owner.org_id,
        kind=RoomKind.PUBLIC,
        name="general",
        owner_id=owner.id,
        created_at=now,
        updated_at=now,
    )
    return Changes(
        new_users=(owner, cat),
        new_rooms=(general,),
        add_members=(
            Member(room_id=GENERAL, user_id=owner.id, joined_at=now, is_owner=True),
            Member(room_id=GENERAL, user_id=ROCKET_CAT, joined_at=now),
        ),
        new_hooks=(hook,),
    )


def _hook(owner: User, token: str, now: Millis) -> IncomingHook:
    return IncomingHook(
        id=integration_id(),
        org_id=owner.org_id,
        name=FIRST_HOOK,
        enabled=True,
        username=ROCKET_CAT,
        user_id=ROCKET_CAT,
        channels=("#general",),
        token=token,
        created_at=now,
        created_by=(owner.id, owner.username),
        updated_at=now,
    )
