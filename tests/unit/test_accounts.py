"""Logins, sessions, login limits and personal access tokens."""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.workspace.accounts import BAD_TOKEN_NAME, NAME_TAKEN, NO_SUCH_TOKEN, NO_TOKEN_NAME, Session
from bot.workspace.credentials import (
    LOGGED_OUT,
    LOGIN_FAILED,
    UNREADABLE,
    LoginFailure,
    read_credentials,
)
from bot.workspace.login_limits import (
    IN_A_ROW,
    LOCK_S,
    MOST_IN_LINE,
    PER_MINUTE,
    REMEMBERED,
    SLOW_BY_S,
    SLOW_FROM,
    LoginLimits,
)
from bot.workspace.passwords import Passwords, digest_of, one_time_password
from bot.workspace.users import UserUpdate
from handlers.errors import UNAUTHORIZED
from handlers.permissions import CREATE_TOKENS
from storage.records.changes import Changes
from storage.records.user import TokenKind
from tests.clock import ManualClock
from tests.people import HOME, PASSWORD, People, people_at
from tests.records import ORG, user

DIGEST = hashlib.sha256(PASSWORD.encode()).hexdigest()
AWAY = "198.51.100.4"
MINUTE_MS = 60_000
DAY_MS = 24 * 60 * MINUTE_MS


@pytest.fixture
async def people(tmp_path: Path) -> AsyncIterator[People]:
    """A workspace with Ann in it."""
    async with people_at(tmp_path / "patchbay.db") as found:
        await found.add("ann")
        yield found


@pytest.mark.parametrize(
    "body",
    [
        {"user": "olga", "password": PASSWORD},
        {"user": "OLGA", "password": PASSWORD},
        {"user": "olga@example.test", "password": PASSWORD},
        {"username": "olga", "password": PASSWORD, "code": "123456"},
        {"email": "Olga@Example.test", "password": PASSWORD},
        {"user": "olga", "password": {"digest": DIGEST, "algorithm": "sha-256"}},
        {"user": "olga", "password": {"digest": DIGEST.upper(), "algorithm": "sha-256"}},
        {"user": "olga", "password": {"hashed": DIGEST}},
        {"user": {"username": "olga"}, "password": {"digest": DIGEST, "algorithm": "sha-256"}},
        {"user": {"email": "olga@example.test"}, "password": PASSWORD},
    ],
)
async def test_every_form_of_login(people: People, body: dict[str, object]) -> None:
    """Each form of §2 begins a session whose token and user id together authenticate."""
    credentials = read_credentials(body)
    assert not isinstance(credentials, LoginFailure)
    session = await people.accounts.login(credentials, HOME)
    assert isinstance(session, Session)
    assert len(session.token) == 43
    assert session.expires_at == people.clock.now() + 90 * DAY_MS
    assert await people.accounts.authenticate(people.owner.id, session.token) == people.owner
    assert await people.accounts.authenticate("rocket.cat", session.token) is None
    assert await people.accounts.authenticate(people.owner.id, session.token + "x") is None


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"user": "ann"},
        {"password": PASSWORD},
        {"user": "", "password": PASSWORD},
        {"user": "ann", "password": ""},
        {"user": 7, "password": PASSWORD},
        {"user": {}, "password": PASSWORD},
        {"user": "ann", "password": 7},
        {"user": "ann", "password": {}},
        {"user": "ann", "password": {"digest": "abc"}},
        {"user": "ann", "password": {"digest": DIGEST, "algorithm": "md5"}},
        {"resume": ""},
        {"resume": 7},
    ],
)
def test_unreadable_logins(body: dict[str, object]) -> None:
    """A login that lacks something is told what to send."""
    assert read_credentials(body) is UNREADABLE


@pytest.mark.parametrize(
    ("username", "password"),
    [
        ("nobody", PASSWORD),
        ("ann@example.test", PASSWORD),
        ("a\x00nn", PASSWORD),
        ("a\ud800nn", PASSWORD),
        ("ann", "not the password"),
        ("rocket.cat", PASSWORD),
        ("closed", PASSWORD),
        ("closed", "not the password"),
    ],
)
async def test_every_failed_login_is_answered_alike(people: People, username: str, password: str) -> None:
    """An unknown name, a wrong password, no password, a closed account: nobody learns which it was."""
    closed = await people.add("closed")
    await people.users.set_active(people.owner, closed.id, active=False)
    assert await people.log_in(username, password) == LOGIN_FAILED == LoginFailure("Unauthorized", "Unauthorized")


async def test_the_lock_does_not_tell_that_the_password_of_a_closed_account_is_right(people: People) -> None:
    """The right password of a closed account ends no row of failures."""
    ann = (await people.session()).user
    await people.users.set_active(people.owner, ann.id, active=False)
    for password in ("wrong one two", "wrong one two", PASSWORD, "wrong one two", "wrong one two"):
        assert await people.log_in(password=password) == LOGIN_FAILED
    refused = await people.log_in()
    assert isinstance(refused, LoginFailure)
    assert refused.error == "error-login-blocked-for-user"


@pytest.mark.flaky(reruns=3)  # a measurement: a busy machine may spoil one
async def test_time_does_not_tell_who_exists(people: People) -> None:
    """A login without a user does the same slow work as a wrong password."""

    async def fastest(username: str) -> float:
        took = []
        for number in range(4):
            began = time.perf_counter()
            await people.log_in(username, "not the password", f"192.0.2.{number}")
            took.append(time.perf_counter() - began)
        return min(took)

    known = min([await fastest("ann") for _ in range(2)])  # a busy machine makes only this one look slow
    assert min(await fastest("nobody"), await fastest("rocket.cat")) > known / 2


async def test_users_of_another_organisation_are_unknown(people: People) -> None:
    """Only the organisation that is served logs in (decision 6)."""
    await people.store.make_organisation(ORG, "Other", people.clock.now())
    hashed = await Passwords().hash(digest_of(PASSWORD))
    await people.store.commit(Changes(new_users=(user(username="eve", password_hash=hashed),)))
    assert await people.log_in("eve") == LOGIN_FAILED


async def test_resume(people: People) -> None:
    """A running session is taken up with its token; an unknown or expired one is not."""
    session = await people.session()
    credentials = read_credentials({"resume": session.token})
    assert not isinstance(credentials, LoginFailure)
    assert await people.accounts.login(credentials, HOME) == session
    unknown = read_credentials({"resume": "x" * 43})
    assert not isinstance(unknown, LoginFailure)
    assert await people.accounts.login(unknown, HOME) == LOGGED_OUT
    people.clock.advance(90 * DAY_MS)
    assert await people.accounts.login(credentials, HOME) == LOGGED_OUT


async def test_a_session_ends_after_90_days(people: People) -> None:
    """One millisecond before its end a session holds, at its end it does not."""
    session = await people.session()
    people.clock.advance(90 * DAY_MS - 1)
    assert await people.accounts.authenticate(session.user.id, session.token)
    people.clock.advance(1)
    assert await people.accounts.authenticate(session.user.id, session.token) is None


async def test_logout_ends_one_session(people: People) -> None:
    """Logging out ends the session of its token, no other one, and no personal token."""
    first, second = await people.session(), await people.session()
    personal = await people.accounts.generate(first.user, "ci")
    assert isinstance(personal, str)
    for token in (first.token, personal, "unknown"):
        await people.accounts.logout(token)
    assert await people.accounts.authenticate(first.user.id, first.token) is None
    assert await people.accounts.authenticate(first.user.id, second.token) == first.user
    assert await people.accounts.authenticate(first.user.id, personal) == first.user


async def test_a_login_does_not_outlive_a_new_password(people: People) -> None:
    """A login that was checked against the old password begins no session after the change."""
    ann = await people.directory.user_named("ann")
    assert ann is not None
    changing = people.users.update(people.owner, ann.id, UserUpdate(password="a new long password"))
    results = await asyncio.gather(*(people.log_in(address=f"192.0.2.{n}") for n in range(6)), changing)
    for session in results[:-1]:
        if isinstance(session, Session):
            assert await people.accounts.authenticate(ann.id, session.token) is None
    assert await people.store.tokens_of(ann.id, TokenKind.SESSION) == []


async def test_last_use_is_written_once_a_minute(people: People) -> None:
    """A token shows when it was last used, to the minute."""
    ann = (await people.session()).user
    token = await people.accounts.generate(ann, "ci")
    assert isinstance(token, str)
    first = people.clock.now()
    for passed in (0, 59_999, 1):
        people.clock.advance(passed)
        assert await people.accounts.authenticate(ann.id, token) == ann
        await people.accounts.close()
        [shown] = await people.accounts.personal_tokens(ann)
        assert shown.last_used_at == (first if people.clock.now() < first + MINUTE_MS else people.clock.now())


# --- login limits -------------------------------------------------------------------------------------


async def test_five_failures_in_a_row_lock_the_name_for_one_address(people: People) -> None:
    """The lock holds for 15 minutes, also for the right password, and only there (decision 23)."""
    session = await people.session()
    for _ in range(IN_A_ROW):
        assert await people.log_in(password="not the password") == LOGIN_FAILED
    refused = await people.log_in()
    assert isinstance(refused, LoginFailure)
    assert refused.error == "error-login-blocked-for-user"
    assert "900 seconds" in refused.message
    assert isinstance(await people.log_in("ANN"), LoginFailure), "the case of a name does not matter"
    assert isinstance(await people.log_in(address=AWAY), Session), "other addresses are not locked"
    assert isinstance(await people.log_in("olga"), Session), "other names are not locked"
    assert await people.accounts.authenticate(session.user.id, session.token), "running sessions go on"
    people.clock.advance(15 * MINUTE_MS)
    assert isinstance(await people.log_in(), Session)


async def test_name_and_address_of_a_user_count_together(people: People) -> None:
    """A user's e-mail address gives no further tries."""
    for number in range(IN_A_ROW):
        await people.log_in(("olga", "olga@example.test")[number % 2], "not the password")
    refused = await people.log_in("olga")
    assert isinstance(refused, LoginFailure)
    assert refused.error == "error-login-blocked-for-user"


async def test_tries_at_the_same_time_count(people: People) -> None:
    """A burst of parallel tries gets no more than those in a row."""
    results = await asyncio.gather(*(people.log_in(password="not the password") for _ in range(12)))
    assert results.count(LOGIN_FAILED) == IN_A_ROW


async def test_unknown_names_are_locked_alike(people: People) -> None:
    """A lock does not tell whether a user exists."""
    for _ in range(IN_A_ROW):
        assert await people.log_in("nobody") == LOGIN_FAILED
    refused = await people.log_in("nobody")
    assert isinstance(refused, LoginFailure)
    assert refused.error == "error-login-blocked-for-user"


async def _attack(people: People, tries: int = SLOW_FROM) -> None:
    await asyncio.gather(*(people.log_in(password="not the password", address=f"203.0.113.{n}") for n in range(tries)))


async def test_a_name_under_attack_is_slowed_down_never_closed(people: People) -> None:
    """After 100 failures an hour from many addresses each try of the name waits, and may still succeed."""
    await _attack(people)
    assert people.pauses == []
    assert isinstance(await people.log_in(), Session)
    assert people.pauses == [SLOW_BY_S]
    assert isinstance(await people.log_in("olga"), Session)
    assert people.pauses == [SLOW_BY_S], "other names are not slowed down"
    people.clock.advance(60 * MINUTE_MS)
    assert isinstance(await people.log_in(address=AWAY), Session)
    assert people.pauses == [SLOW_BY_S]


async def test_an_address_that_has_logged_in_before_is_not_slowed_down(people: People) -> None:
    """An attack from elsewhere costs whoever uses the account nothing at the usual place."""
    assert isinstance(await people.log_in(), Session)
    await _attack(people)
    assert isinstance(await people.log_in(), Session)
    assert people.pauses == []
    assert isinstance(await people.log_in(address=AWAY), Session)
    assert people.pauses == [SLOW_BY_S]


async def test_tries_of_a_slowed_name_take_turns(people: People) -> None:
    """However many addresses try at once, there is one try every few seconds; who finds a long line is told."""
    await _attack(people)
    waiting = asyncio.Event()
    at_once = most = 0

    async def pause(_: float) -> None:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await waiting.wait()
        at_once -= 1

    people.pause = pause
    tries = [
        asyncio.create_task(people.log_in(password="not the password", address=f"198.51.100.{number}"))
        for number in range(MOST_IN_LINE + 5)
    ]
    results = asyncio.as_completed(tries)
    refused = [await next(results) for _ in range(5)]
    assert {one.error for one in refused if isinstance(one, LoginFailure)} == {"error-login-blocked-for-user"}
    assert all("Try again in 30 seconds" in one.message for one in refused if isinstance(one, LoginFailure))
    waiting.set()
    assert [await result for result in results] == [LOGIN_FAILED] * MOST_IN_LINE
    assert most == 1


async def test_a_burst_is_not_over_before_its_first_try_has_failed(people: People) -> None:
    """Tries that are under way count as failures to come, so that no burst gets past the slowdown."""
    await _attack(people, SLOW_FROM + 5)
    assert people.pauses == [SLOW_BY_S] * 5


def test_ten_failures_a_minute() -> None:
    """Logins between them end a row, not the count of the minute."""
    clock = ManualClock()
    limits = LoginLimits(clock)
    for number in range(PER_MINUTE):
        assert limits.wait("ann", HOME) == 0
        limits.failed("ann", HOME)
        if number % 2:
            limits.succeeded("ann", HOME)
        clock.advance(1_000)
    assert limits.wait("ann", HOME) == 50
    assert limits.wait("ann", AWAY) == 0
    clock.step_wall(DAY_MS)
    assert limits.wait("ann", HOME) == 50, "steps of the wall clock change nothing"
    clock.advance(50_000)
    assert limits.wait("ann", HOME) == 0


def test_a_lock_ends_and_a_new_row_begins() -> None:
    """After a lock five more failures are needed for the next."""
    clock = ManualClock()
    limits = LoginLimits(clock)
    for _ in range(2):
        for _ in range(IN_A_ROW):
            assert limits.wait("ann", HOME) == 0
            limits.failed("ann", HOME)
        assert limits.wait("ann", HOME) == LOCK_S
        clock.advance(15 * MINUTE_MS)


def test_memory_is_bounded() -> None:
    """Inventing names does not fill the memory: the oldest failures are forgotten, the latest count."""
    limits = LoginLimits(ManualClock())
    for name in ("oldest", *(f"name-{number}" for number in range(REMEMBERED)), "latest"):
        for _ in range(IN_A_ROW):
            limits.failed(name, HOME)
    assert limits.wait("oldest", HOME) == 0
    assert limits.wait("latest", HOME) == LOCK_S


# --- passwords ----------------------------------------------------------------------------------------


async def test_stored_hashes_are_argon2id_of_the_digest(people: People) -> None:
    """What is stored is salted argon2id; broken hashes match nothing."""
    passwords = Passwords()
    one, other = await passwords.hash(digest_of(PASSWORD)), await passwords.hash(digest_of(PASSWORD))
    assert one.startswith("$argon2id$")
    assert one != other
    assert await passwords.matches(digest_of(PASSWORD), one)
    assert not await passwords.matches(digest_of(PASSWORD + "x"), one)
    assert not await passwords.matches(digest_of(PASSWORD), "broken")
    assert not await passwords.matches(digest_of(PASSWORD), None)


def test_one_time_passwords_are_good_and_different() -> None:
    """A generated password passes our own rule and is not made twice."""
    made = {one_time_password() for _ in range(50)}
    assert len(made) == 50
    assert all(len(password) == 23 for password in made)


async def test_secrets_do_not_show_in_reprs(people: People) -> None:
    """Neither tokens nor digests appear where a value is printed."""
    session = await people.session()
    shown = repr((session, read_credentials({"resume": session.token}), people.started))
    shown += repr(read_credentials({"user": "ann", "password": PASSWORD}))
    assert not any(secret in shown for secret in (session.token, people.started.hook_token, DIGEST, PASSWORD))


# --- personal access tokens ---------------------------------------------------------------------------


async def test_personal_tokens(people: People) -> None:
    """They are made, listed without the secret, replaced and removed by name (decision 50)."""
    ann = (await people.session()).user
    first = await people.accounts.generate(ann, "ci")
    assert isinstance(first, str)
    assert len(first) == 43
    assert await people.accounts.generate(ann, "ci") == NAME_TAKEN
    assert isinstance(await people.accounts.generate(people.owner, "ci"), str), "names are each user's own"
    [shown] = await people.accounts.personal_tokens(ann)
    assert (shown.name, shown.last_part, shown.created_at) == ("ci", first[-4:], people.clock.now())

    second = await people.accounts.regenerate(ann, "ci")
    assert isinstance(second, str)
    assert await people.accounts.authenticate(ann.id, first) is None
    assert await people.accounts.authenticate(ann.id, second) == ann
    assert [token.name for token in await people.accounts.personal_tokens(ann)] == ["ci"]

    assert await people.accounts.remove(ann, "ci") is None
    assert await people.accounts.authenticate(ann.id, second) is None
    assert await people.accounts.personal_tokens(ann) == []


async def test_refusals_of_personal_tokens(people: People) -> None:
    """Texts are Rocket.Chat's; without the permission nobody makes a token."""
    ann = (await people.session()).user
    assert await people.accounts.generate(ann, " ") == NO_TOKEN_NAME
    assert await people.accounts.generate(ann, "ci\x1b[31m") == BAD_TOKEN_NAME
    assert await people.accounts.generate(ann, "x" * 65) == BAD_TOKEN_NAME
    assert await people.accounts.remove(ann, "") == NO_TOKEN_NAME
    assert await people.accounts.remove(ann, "ci") == NO_SUCH_TOKEN
    assert await people.accounts.regenerate(ann, "ci") == NO_SUCH_TOKEN
    assert NAME_TAKEN.bracketed == "A token with this name already exists [error-token-already-exists]"
    taken = await people.users.set_permission(people.owner, ann.id, CREATE_TOKENS, granted=False)
    assert not isinstance(taken, LoginFailure)
    ann = (await people.session()).user
    assert await people.accounts.generate(ann, "ci") == UNAUTHORIZED
    assert await people.accounts.regenerate(ann, "ci") == UNAUTHORIZED


async def test_regenerating_at_once_leaves_one_token(people: People) -> None:
    """Two replacements of one token at the same time both answer, and the last one holds."""
    ann = (await people.session()).user
    await people.accounts.generate(ann, "ci")
    tokens = await asyncio.gather(*(people.accounts.regenerate(ann, "ci") for _ in range(3)))
    held = [await people.accounts.authenticate(ann.id, token) for token in tokens if isinstance(token, str)]
    assert held == [None, None, ann]


async def test_a_personal_token_alone_tells_who_is_calling(people: People) -> None:
    """A terminal knows no user id; sessions, which browsers hold, are not taken there (decision 68)."""
    ann = await people.directory.user_named("ann")
    assert ann is not None
    token = await people.accounts.generate(ann, "terminal")
    assert isinstance(token, str)
    assert await people.accounts.bearer(token) == ann
    assert await people.accounts.bearer((await people.session()).token) is None
    assert await people.accounts.bearer("") is None
    await people.accounts.remove(ann, "terminal")
    assert await people.accounts.bearer(token) is None
