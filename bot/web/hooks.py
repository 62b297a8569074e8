"""The addresses of incoming hooks: `/hooks/…` in every shape of the contract (`rocketchat.md` §5)."""

import hmac
from collections.abc import Mapping

from aiohttp import web

from bot.flows.receive import Receive, Received
from bot.metrics import Metrics
from bot.web.answers import LOGIN_NEEDED, answer, failure, refusal, success, too_many
from bot.web.bodies import RawBody, read_raw
from bot.web.limits import RateLimit
from bot.workspace.directory import Directory
from bot.workspace.hooks import Hooks
from handlers.bodies import BodyFault, parse_body, unwrap_hook_payload
from handlers.errors import Fault
from handlers.signing.incoming import verify_incoming
from storage.clock import Clock, Millis, iso
from storage.ids import GENERAL, ROCKET_CAT, IntegrationId
from storage.records.integration import IncomingHook
from storage.records.user import User

UNKNOWN = "Invalid integration id or token provided."
UNAVAILABLE = "Service Unavailable"
INVALID_SIGNATURE = "invalid-signature"


class HookRoutes:
    """Serves deliveries and the Zapier-style extras; all of them need the hook's id and token."""

    def __init__(
        self,
        directory: Directory,
        receive: Receive,
        hooks: Hooks,
        limit: RateLimit,
        clock: Clock,
        metrics: Metrics,
        max_body: int,
    ) -> None:
        self._directory = directory
        self._receive = receive
        self._hooks = hooks
        self._limit = limit
        self._clock = clock
        self._metrics = metrics
        self._max_body = max_body

    def add_to(self, app: web.Application) -> None:
        """Register every shape; the extras come first because they shadow the generic shapes."""
        for shape in ("{id}/{token}", "{id}/{user}/{token}"):
            app.router.add_get(f"/hooks/sample/{shape}", self._sample)
            app.router.add_get(f"/hooks/info/{shape}", self._info)
            app.router.add_post(f"/hooks/add/{shape}", self._add)
            app.router.add_post(f"/hooks/remove/{shape}", self._remove)
        for shape in ("{id}/{token}", "{id}/{user}/{token}"):
            app.router.add_post(f"/hooks/{shape}", self._deliver)
            app.router.add_get(f"/hooks/{shape}", self._deliver, allow_head=False)

    async def _deliver(self, request: web.Request) -> web.Response:
        raw = await read_raw(request, self._max_body)
        if isinstance(raw, BodyFault):
            return self._refused(raw.text, raw.status)
        hook = await self._hook(request)
        if hook is None:
            body = _parse(request, raw)
            return self._refused(body.text, body.status) if isinstance(body, BodyFault) else self._refused(UNKNOWN, 404)
        received = Received(request.method, tuple(request.headers.items()), raw.raw)
        if hook.secret is not None:
            verdict = verify_incoming(hook.secret, received.headers, raw.raw, self._clock.now() / 1000)
            if not verdict.ok:
                await self._receive.refuse(hook, received, f"{INVALID_SIGNATURE}: {verdict.value}", 401)
                return self._refused(INVALID_SIGNATURE, 401)
        body = _parse(request, raw)
        if isinstance(body, BodyFault):
            await self._receive.refuse(hook, received, body.text, body.status)
            return self._refused(body.text, body.status)
        poster = await self._poster(hook)
        if poster is None:
            return answer(LOGIN_NEEDED, 401)
        allowance = self._limit.take(hook.id)
        if allowance is not None and not allowance.allowed:
            self._metrics.hook_request("limited")
            return too_many(allowance.wait_s, allowance.headers)
        if not hook.enabled or self._expired(hook):
            await self._receive.refuse(hook, received, UNAVAILABLE, 503)
            self._metrics.hook_request("refused")
            return answer(UNAVAILABLE, 503)
        result = await self._receive.deliver(hook, poster, received, body)
        self._metrics.hook_request(result.verdict.value)
        done = success() if result.error is None else failure(result.error)
        if allowance is not None:
            done.headers.update(allowance.headers)
        return done

    def _refused(self, text: str, status: int) -> web.Response:
        self._metrics.hook_request("refused")
        return failure(text, status)

    def _expired(self, hook: IncomingHook) -> bool:
        return hook.expires_at is not None and hook.expires_at <= self._clock.now()

    async def _hook(self, request: web.Request) -> IncomingHook | None:
        """Find the hook; an unknown id costs the same comparison as a wrong token (security.md §3)."""
        hook = await self._directory.hook(IntegrationId(request.match_info["id"]))
        given = request.match_info["token"].encode("utf-8", "surrogateescape")
        known = isinstance(hook, IncomingHook) and hook.token is not None
        token = hook.token.encode() if isinstance(hook, IncomingHook) and hook.token else b"-" * 48
        same = hmac.compare_digest(token, given)
        return hook if known and same and isinstance(hook, IncomingHook) else None

    async def _poster(self, hook: IncomingHook) -> User | None:
        user = await self._directory.user(hook.user_id)
        return user if user is not None and user.active else None

    # --- extras (§5.5) ------------------------------------------------------------------------------

    async def _known(self, request: web.Request) -> IncomingHook | web.Response:
        hook = await self._hook(request)
        if hook is None:
            return failure(UNKNOWN, 404)
        allowance = self._limit.take(hook.id)
        if allowance is not None and not allowance.allowed:
            return too_many(allowance.wait_s, allowance.headers)
        return hook

    async def _info(self, request: web.Request) -> web.Response:
        hook = await self._known(request)
        return hook if isinstance(hook, web.Response) else success()

    async def _sample(self, request: web.Request) -> web.Response:
        hook = await self._known(request)
        if isinstance(hook, web.Response):
            return hook
        return answer([sample(number, self._clock.now()) for number in (1, 2, 3)])

    async def _add(self, request: web.Request) -> web.Response:
        return await self._extra(request, remove=False)

    async def _remove(self, request: web.Request) -> web.Response:
        return await self._extra(request, remove=True)

    async def _extra(self, request: web.Request, *, remove: bool) -> web.Response:
        raw = await read_raw(request, self._max_body)
        hook = await self._known(request)
        if isinstance(hook, web.Response):
            return hook
        body = raw if isinstance(raw, BodyFault) else _parse(request, raw)
        if isinstance(body, BodyFault):
            return failure(body.text, body.status)
        fields = body if isinstance(body, Mapping) else {}
        done = await (self._hooks.remove_zapier(hook, fields) if remove else self._hooks.add_zapier(hook, fields))
        return refusal(done) if isinstance(done, Fault) else success()


def _parse(request: web.Request, raw: RawBody) -> object:
    content_type = request.headers.get("Content-Type")
    body = parse_body(content_type, raw.decoded)
    return body if isinstance(body, BodyFault) else unwrap_hook_payload(content_type, body)


def sample(number: int, now: Millis) -> dict[str, str]:
    """Return one of the sample outgoing payloads a form builder reads its fields from (§5.5)."""
    return {
        "token": "",
        "channel_id": GENERAL,
        "channel_name": "general",
        "timestamp": iso(now),
        "user_id": ROCKET_CAT,
        "user_name": "rocket.cat",
        "text": f"Sample text {number}",
        "trigger_word": "Sample",
    }
