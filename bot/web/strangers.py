"""What names no hook, workspace or door: told so before anything is read, so often for each address."""

from aiohttp import web

from bot.settings import Network
from bot.web.answers import too_many
from bot.web.client import counted_address
from bot.web.limits import RateLimit


class Strangers:
    """One limit for each address over all doors: who guesses at one has guessed at the others."""

    def __init__(self, limit: RateLimit, trusted: tuple[Network, ...]) -> None:
        self._limit = limit
        self._trusted = trusted

    def refused(self, request: web.BaseRequest) -> web.Response | None:
        """Count a request that named nothing; return what it is answered instead when its address has sent too many."""
        allowance = self._limit.take(counted_address(request, self._trusted))
        if allowance is None or allowance.allowed:
            return None
        return too_many(allowance.wait_s, allowance.headers)
