"""The addresses of incoming hooks: `/hooks/…` in every shape of the contract (`rocketchat.md` §5)."""

import hmac
import re
from collections.abc import Awaitable, Mapping

from aiohttp import hdrs, web

from bot.flows.receive import Receive, Received
from bot.metrics import Metrics
from bot.web.answers import LOGIN_NEEDED, answer, failure, refusal, success, too_many
from bot.web.bodies import read_wire, unpacked
from bot.web.limits import Allowance, RateLimit
from bot.web.middleware import Shortcut
from bot.web.ready import Ready
from bot.web.strangers import Strangers
from bot.workspace.allotment import Allotment
from bot.workspace.directory import Directory
from bot.workspace.hooks import Hooks
from bot.workspace.zapier import Zapier
from handlers.bodies import BodyFault, parse_body, unwrap_hook_payload
from handlers.errors import Fault
from handlers.signing.incoming import verify_incoming
from storage.clock import Clock, Millis, iso
from storage.errors import Gone
from storage.ids import GENERAL, ROCKET_CAT, IntegrationId
from storage.ports import Secrets
from storage.records.integration import Hook, IncomingHook, is_expired
from storage.records.user import User

UNKNOWN = "Invalid integration id or token provided."
UNAVAILABLE = "Service Unavailable"
DAMAGED = "What is sealed of this integration is damaged; it has to be removed and made anew."
INVALID_SIGNATURE = "invalid-signature"

_USUAL = "/hooks/{id}/{token}"
_USUAL_PATH = re.compile("/hooks/([0-9A-Za-z]+)/([0-9A-Za-z]+)")

_NO_EXTRA = "(?!(?:sample|info|add|remove)/)[^{}/]+"
"""The id of a generic shape: whatever does not begin an extra's path."""


class HookRoutes:
    """Serves deliveries and the Zapier-style extras; all of them need the hook's id and token."""

    def __init__(
        self,
        directory: Directory,
        receive: Receive,
        hooks: Hooks,
        allotment: Allotment,
        limit: RateLimit,
        secrets: Secrets,
        clock: Clock,
        metrics: Metrics,
        max_body: int,
        strangers: Strangers,
    ) -> None:
        self._directory = directory
        self._receive = receive
        self._zapier = Zapier(directory, hooks)
        self._allotment = allotment
        self._limit = limit
        self._secrets = secrets
        self._clock = clock
        self._metrics = metrics
        self._max_body = max_body
        self._strangers = strangers
        self._ready = Ready(clock)

    def add_to(self, app: web.Application) -> None:
        """Register every shape, the usual one first: addresses are tried in this order.

        The extras shadow the generic shapes, also for methods they do not take.
        """
        app.router.add_post(_USUAL, self._deliver)
        app.router.add_get(_USUAL, self._deliver, allow_head=False)
        for shape in ("{id}/{token}", "{id}/{user}/{token}"):
            app.router.add_get(f"/hooks/sample/{shape}", self._sample)
            app.router.add_get(f"/hooks/info/{shape}", self._info)
            app.router.add_post(f"/hooks/add/{shape}", self._add)
            app.router.add_post(f"/hooks/remove/{shape}", self._remove)
        longer = f"/hooks/{{id:{_NO_EXTRA}}}/{{user}}/{{token}}"
        app.router.add_post(longer, self._deliver)
        app.router.add_get(longer, self._deliver, allow_head=False)

    @property
    def shortcut(self) -> Shortcut:
        """Return the way of most requests, a POST to the usual address, past the router."""
        return Shortcut(_USUAL, self._take_usual)

    def _take_usual(self, request: web.BaseRequest) -> Awaitable[web.StreamResponse] | None:
        found = _USUAL_PATH.fullmatch(request.raw_path)
        if found is None or request.method != hdrs.METH_POST or hdrs.EXPECT in request.headers:
            return None
        return self._take(request, *found.groups())

    async def _deliver(self, request: web.Request) -> web.StreamResponse:
        return await self._take(request, request.match_info["id"], request.match_info["token"])

    async def _take(self, request: web.BaseRequest, hook_id: str, token: str) -> web.StreamResponse:
        is_whole = request.content.is_eof()
        hook = await self._hook(hook_id, token)
        if hook is None:  # before its body is read, or anybody could have any body unpacked
            return await self._unknown(request, hook_id)
        raw = await read_wire(request, self._max_body)
        if isinstance(raw, BodyFault):
            return self._refused(raw.text, raw.status)
        if not is_whole:  # it may have taken long, and the hook be another one since
            hook = await self._hook(hook_id, token)
            if hook is None:
                return await self._unknown(request, hook_id)
        received = self._received(request, hook, token, raw)
        if received.checked is not None:
            refused = await self._signature_refused(hook, received)
            if refused is not None:
                return refused
        decoded = await unpacked(request, raw, self._max_body)
        if isinstance(decoded, BodyFault):
            return await self._turned_away(hook, received, decoded.text, decoded.status)
        body = _parse(request, decoded)
        if isinstance(body, BodyFault):
            return await self._turned_away(hook, received, body.text, body.status)
        poster = await self._poster(hook)
        if poster is None:
            self._metrics.hook_request("refused")
            return answer(LOGIN_NEEDED, 401)
        allowance = self._limit.take(hook.id)
        if allowance is not None and not allowance.allowed:
            return self._limited(allowance)
        left = {} if allowance is None else allowance.headers
        size = len(decoded)
        if full := self._allotment.refused(hook.id):
            return await self._full(hook, received, full, left)
        self._allotment.begin(hook.id, size)
        try:
            if self._is_off(hook):
                await self._receive.refuse(hook, received, UNAVAILABLE, 503)
                self._metrics.hook_request("refused")
                return answer(UNAVAILABLE, 503, left)
            result = await self._receive.deliver(hook, poster, received, body)
        except Gone:  # the hook was removed since it was looked up
            return self._refused(UNKNOWN, 404, left)
        finally:
            self._allotment.end(hook.id, size)
        self._metrics.hook_request(result.verdict)
        return self._ready.success(request, left) if result.error is None else failure(result.error, headers=left)

    def _received(self, request: web.BaseRequest, hook: IncomingHook, token: str, raw: bytes) -> Received:
        checked = previous = None
        if hook.secret is not None:
            checked = verify_incoming(hook.secret, request.headers.items(), raw, self._clock.now() / 1000)
        if hook.previous_token is not None and token != hook.token:
            previous = hook.previous_token.hash
        return Received(request.method, request.headers, raw, checked, previous)

    async def _signature_refused(self, hook: IncomingHook, received: Received) -> web.Response | None:
        """Refuse a wrong signature where the hook asks for one (decision 36); None when the request may go on."""
        verdict = None if received.checked is None else received.checked.verdict
        if verdict is None or verdict.ok:
            return None
        return await self._turned_away(hook, received, INVALID_SIGNATURE, 401, f"{INVALID_SIGNATURE}: {verdict.value}")

    async def _turned_away(
        self, hook: IncomingHook, received: Received, text: str, status: int, why: str | None = None
    ) -> web.Response:
        """Refuse before the rate limit counts; history writes have a limit of their own.

        Whoever knows the address but not the secret must neither use up the sender's limit nor flood the store.
        """
        allowance = self._limit.take(("turned away", hook.id))
        if allowance is not None and not allowance.allowed:
            return self._limited(allowance)
        if self._allotment.spent(hook.id) is not None:
            return self._refused(text, status)
        try:
            await self._receive.refuse(hook, received, why or text, status)
        except Gone:
            return self._refused(UNKNOWN, 404)
        return self._refused(text, status)

    async def _full(self, hook: IncomingHook, received: Received, full: Fault, left: Mapping[str, str]) -> web.Response:
        """Refuse a hook that has stored all it may today; history hears of it once, for it takes bytes as well."""
        if self._allotment.first_refusal(hook.id):
            try:
                await self._receive.refuse(hook, received, full.bracketed, full.status)
            except Gone:
                return self._refused(UNKNOWN, 404, left)
        self._metrics.hook_request("limited")
        return failure(full.bracketed, full.status, {**left, "Retry-After": str(full.retry_after_s)})

    def _refused(self, text: str, status: int, headers: Mapping[str, str] | None = None) -> web.Response:
        self._metrics.hook_request("refused")
        return failure(text, status, headers)

    async def _unknown(self, request: web.BaseRequest, hook_id: str) -> web.Response:
        if await self._is_damaged(hook_id):
            return self._refused(DAMAGED, 500)
        self._metrics.hook_request("refused")
        return self._strangers.refused(request) or failure(UNKNOWN, 404)

    def _limited(self, allowance: Allowance) -> web.Response:
        self._metrics.hook_request("limited")
        return too_many(allowance.wait_s, allowance.headers)

    def _is_off(self, hook: IncomingHook) -> bool:
        return not hook.enabled or is_expired(hook, self._clock.now())

    async def _hook(self, hook_id: str, given: str) -> IncomingHook | None:
        """Find the hook; an unknown id costs the same comparison as a wrong token (security.md §3)."""
        hook = await self._directory.hook(IntegrationId(hook_id))
        token = hook.token if isinstance(hook, IncomingHook) else None
        expected = (token or "-" * 48).encode()
        same = hmac.compare_digest(expected, given.encode("utf-8", "surrogateescape")) or self._is_previous(hook, given)
        return hook if token and same and isinstance(hook, IncomingHook) else None

    async def _is_damaged(self, hook_id: str) -> bool:
        """Tell whether a hook cannot be proved anything to: nobody knows its token any more."""
        hook = await self._directory.hook(IntegrationId(hook_id))
        return isinstance(hook, IncomingHook) and hook.damaged

    def _is_previous(self, hook: Hook | None, given: str) -> bool:
        """Tell whether a hook had this token before and still takes it (commands.md §2.6)."""
        previous = hook.previous_token if isinstance(hook, IncomingHook) else None
        found = self._secrets.lookup(given)  # also where there is none: the time it takes tells nothing
        same = hmac.compare_digest(previous.hash if previous else bytes(len(found)), found)
        return same and previous is not None and previous.until > self._clock.now()

    async def _poster(self, hook: IncomingHook) -> User | None:
        user = await self._directory.user(hook.user_id)
        return user if user is not None and user.active else None

    # --- extras (§5.5) ------------------------------------------------------------------------------

    async def _known(self, request: web.Request) -> IncomingHook | web.Response:
        hook = await self._hook(request.match_info["id"], request.match_info["token"])
        if hook is None:
            return await self._unknown(request, request.match_info["id"])
        if await self._poster(hook) is None:
            return answer(LOGIN_NEEDED, 401)
        allowance = self._limit.take(hook.id)
        if allowance is not None and not allowance.allowed:
            return self._limited(allowance)
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
        """Make or remove an outgoing hook; what keeps a hook from posting keeps it from this too (decision 38)."""
        hook = await self._known(request)
        if isinstance(hook, web.Response):
            return hook
        raw = await read_wire(request, self._max_body)
        if isinstance(raw, BodyFault):
            return failure(raw.text, raw.status)
        received = self._received(request, hook, request.match_info["token"], raw)
        refused = await self._signature_refused(hook, received)
        if refused is not None:
            return refused
        decoded = await unpacked(request, raw, self._max_body)
        body = decoded if isinstance(decoded, BodyFault) else _parse(request, decoded)
        if isinstance(body, BodyFault):
            return failure(body.text, body.status)
        if self._is_off(hook):
            return answer(UNAVAILABLE, 503)
        fields = body if isinstance(body, Mapping) else {}
        done = await (self._zapier.remove(hook, fields) if remove else self._zapier.add(hook, fields))
        return refusal(done) if isinstance(done, Fault) else success()


def _parse(request: web.BaseRequest, decoded: bytes) -> object:
    """Read the body; that of a GET counts for nothing (§5.1 step 6)."""
    if request.method == hdrs.METH_GET:
        return None
    content_type = request.headers.get("Content-Type")
    body = parse_body(content_type, decoded)
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
