"""Who is calling: logins, sessions and personal access tokens (`rocketchat.md` §2, decisions 22 and 50)."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Protocol

from bot.workspace.credentials import (
    LOGGED_OUT,
    LOGIN_FAILED,
    Credentials,
    LoginFailure,
    PasswordLogin,
    Resume,
)
from bot.workspace.directory import Directory
from bot.workspace.login_limits import LoginLimits
from bot.workspace.passwords import Passwords
from handlers.errors import UNAUTHORIZED, Fault
from handlers.permissions import CREATE_TOKENS, permissions
from storage.clock import Clock, Millis
from storage.errors import StorageError, Taken
from storage.ids import UserId, auth_token
from storage.ports import Ledger, Secrets, Tokens, Users
from storage.records.changes import Changes
from storage.records.user import Token, TokenKind, User

SESSION_MS = 90 * 24 * 60 * 60 * 1000
STAMP_EVERY_S = 60.0
STAMPS_REMEMBERED = 10_000

NO_TOKEN_NAME = Fault("The 'tokenName' param is required")
LONGEST_NAME = 64
BAD_TOKEN_NAME = Fault(f"Name the token in up to {LONGEST_NAME} visible characters", "error-invalid-name")
NAME_TAKEN = Fault("A token with this name already exists", "error-token-already-exists")
NO_SUCH_TOKEN = Fault("Token does not exist", "error-token-does-not-exists")


class AccountsStore(Ledger, Users, Tokens, Secrets, Protocol):
    """What accounts read and write."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A successful login."""

    user: User
    token: str = field(repr=False)
    expires_at: Millis | None


class Accounts:
    """Tells who is calling, and hands out and takes back what proves it."""

    def __init__(
        self,
        store: AccountsStore,
        directory: Directory,
        passwords: Passwords,
        clock: Clock,
        *,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._store = store
        self._directory = directory
        self._passwords = passwords
        self._clock = clock
        self._limits = LoginLimits(clock, pause)
        self._stamped: dict[bytes, float] = {}
        self._stamping: set[asyncio.Task[None]] = set()
        self.changing = asyncio.Lock()
        """Held while a user or a token is changed, so that no login outlives a new password."""
        self.on_end: list[Callable[[UserId], None]] = []
        """Called when all sessions of a user have ended, so that sockets close at once (decision 22)."""

    async def close(self) -> None:
        """Finish writing when tokens were last used."""
        await asyncio.gather(*self._stamping)

    # --- logging in ---------------------------------------------------------------------------------

    async def login(self, credentials: Credentials, address: str) -> Session | LoginFailure:
        """Begin a session, or take up a running one; failures count for the name and what `address` counts as."""
        if isinstance(credentials, Resume):
            return await self._resume(credentials.token)
        user = await self._find(credentials)
        name = user.username if user else credentials.name
        async with self._limits.trying(name, address) as refused:
            if refused is not None:
                return refused
            matches = await self._passwords.matches(credentials.digest, user.password_hash if user else None)
            if not matches or user is None or not user.active:
                self._limits.failed(name, address)
                return LOGIN_FAILED
            self._limits.succeeded(name, address)
        return await self._begin(user)

    async def authenticate(self, user_id: str, token: str) -> User | None:
        """Return whose token this is; both must belong together (§2), and the user must be active."""
        key = self._store.lookup(token)
        found = await self._directory.token(key)
        if found is None or found.user_id != user_id or self._expired(found):
            return None
        user = await self._directory.user(found.user_id)
        if user is None or not self._may_enter(user):
            return None
        self._stamp(key)
        return user

    async def bearer(self, token: str) -> User | None:
        """Return whose personal access token this is; a terminal sends it alone (decision 68)."""
        found = await self._directory.token(self._store.lookup(token))
        if found is None or found.kind is not TokenKind.PERSONAL:
            return None
        return await self.authenticate(found.user_id, token)

    async def logout(self, token: str) -> None:
        """End the session of this token; a personal token stays until it is removed."""
        key = self._store.lookup(token)
        found = await self._directory.token(key)
        if found is not None and found.kind is TokenKind.SESSION:
            await self._commit(Changes(drop_tokens=(key,)))

    async def tokens_to_end(self, user_id: UserId, *, personal: bool) -> tuple[bytes, ...]:
        """Return the keys of a user's sessions; with `personal`, of all tokens (decision 22).

        For a change of this user that drops them in the same unit of work, under `changing`.
        """
        return tuple(
            token.hash for token in await self._store.tokens_of(user_id, None if personal else TokenKind.SESSION)
        )

    def ended(self, user_id: UserId) -> None:
        """Tell everybody who waits that a user's sessions have ended."""
        for listener in self.on_end:
            listener(user_id)

    async def _find(self, login: PasswordLogin) -> User | None:
        if not login.name.isprintable():  # no user has such a name, and the store may not be able to look for it
            return None
        # not through the directory: strangers must not fill it with names of nobody
        find = self._store.user_with_email if login.by_email else self._store.user_named
        user = await find(login.name)
        return user if user and user.org_id == self._directory.org else None

    async def _begin(self, known: User) -> Session | LoginFailure:
        token, now = auth_token(), self._clock.now()
        async with self.changing:
            user = await self._store.user(known.id)
            if user is None or user.password_hash != known.password_hash or not user.active:
                return LOGIN_FAILED
            expires_at = Millis(now + SESSION_MS)
            record = replace(self._record(user, token, TokenKind.SESSION, None), expires_at=expires_at)
            await self._store.commit(Changes(new_tokens=(record,)))
        return Session(user=user, token=token, expires_at=expires_at)

    async def _resume(self, token: str) -> Session | LoginFailure:
        key = self._store.lookup(token)
        found = await self._directory.token(key)
        user = await self.authenticate(found.user_id, token) if found else None
        if found is None or user is None:
            return LOGGED_OUT
        return Session(user=user, token=token, expires_at=found.expires_at)

    def _may_enter(self, user: User) -> bool:
        return user.active and user.org_id == self._directory.org

    def _expired(self, token: Token) -> bool:
        return token.expires_at is not None and token.expires_at <= self._clock.now()

    # --- personal access tokens ---------------------------------------------------------------------

    async def personal_tokens(self, user: User) -> list[Token]:
        """Return a user's personal access tokens, oldest first."""
        return await self._store.tokens_of(user.id, TokenKind.PERSONAL)

    async def generate(self, user: User, name: str) -> str | Fault:
        """Make a personal access token; what is returned is shown once and never again."""
        if not name.strip():
            return NO_TOKEN_NAME
        if len(name) > LONGEST_NAME or not name.isprintable():
            return BAD_TOKEN_NAME
        if CREATE_TOKENS not in permissions(user):
            return UNAUTHORIZED
        token = auth_token()
        try:
            await self._commit(Changes(new_tokens=(self._record(user, token, TokenKind.PERSONAL, name),)))
        except Taken:
            return NAME_TAKEN
        return token

    async def regenerate(self, user: User, name: str) -> str | Fault:
        """Replace a personal access token by a new one of the same name."""
        if CREATE_TOKENS not in permissions(user):
            return UNAUTHORIZED
        async with self.changing:
            old = await self._personal(user, name)
            if isinstance(old, Fault):
                return old
            token = auth_token()
            fresh = self._record(user, token, TokenKind.PERSONAL, name)
            await self._commit(Changes(new_tokens=(fresh,), drop_tokens=(old.hash,)))
        return token

    async def remove(self, user: User, name: str) -> Fault | None:
        """Remove a personal access token."""
        async with self.changing:
            old = await self._personal(user, name)
            if isinstance(old, Fault):
                return old
            await self._commit(Changes(drop_tokens=(old.hash,)))
        return None

    async def _personal(self, user: User, name: str) -> Token | Fault:
        if not name.strip():
            return NO_TOKEN_NAME
        found = await self.personal_tokens(user)
        return next((token for token in found if token.name == name), NO_SUCH_TOKEN)

    # --- tokens in the store ------------------------------------------------------------------------

    def _record(self, user: User, token: str, kind: TokenKind, name: str | None) -> Token:
        return Token(
            hash=self._store.lookup(token),
            user_id=user.id,
            kind=kind,
            name=name,
            last_part=token[-4:],
            created_at=self._clock.now(),
        )

    async def _commit(self, changes: Changes) -> None:
        await self._store.commit(changes)
        self._directory.clear()  # changes of tokens carry no event

    def _stamp(self, key: bytes) -> None:
        """Note when a token was last used, at most once a minute, beside the request."""
        now = self._clock.monotonic()
        if now - self._stamped.get(key, -STAMP_EVERY_S) < STAMP_EVERY_S:
            return
        if len(self._stamped) >= STAMPS_REMEMBERED:
            self._stamped.clear()
        self._stamped[key] = now
        task = asyncio.create_task(self._write_stamp(key, self._clock.now()))
        self._stamping.add(task)
        task.add_done_callback(self._stamping.discard)

    async def _write_stamp(self, key: bytes, at: Millis) -> None:
        try:
            await self._store.touch_token(key, at)
        except StorageError:
            self._stamped.pop(key, None)  # nobody waits for it; the next use tries again
