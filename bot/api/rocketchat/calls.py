"""The table of REST calls and the steps every call goes through, in the contract's order (`rocketchat.md` §1.1).

Route and method, login, rate limit, body, schema; then the call's own permissions and rules.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from aiohttp import web

from bot.lists import Listed, Turns
from bot.services import Services
from bot.web.answers import LOGIN_NEEDED, NOT_FOUND, WRONG_METHOD, answer, failure, refusal, success, too_many, written
from bot.web.bodies import read_raw
from bot.web.client import counted_address
from bot.web.limits import RateLimit
from handlers.bodies import BodyFault, parse_body, unwrap_payload
from handlers.errors import Fault
from handlers.rocketchat.validation import INVALID_PARAMS, Schema, validate
from storage.records.user import User

Reply = Mapping[str, object] | Listed | Fault | web.StreamResponse
"""What a call returns: an object or list that becomes a 200 with `success`, a refusal, or a ready answer."""


@dataclass(frozen=True, slots=True)
class ApiRequest:
    """One call, past login and limits; `params` is the query of a GET and the body of the others."""

    params: Mapping[str, object]
    address: str
    http: web.Request
    token: str = ""
    caller: User | None = None

    @property
    def user(self) -> User:
        """Return who calls; only for calls that need a login."""
        if self.caller is None:
            raise LookupError("this call takes no login")
        return self.caller

    def text(self, name: str) -> str | None:
        """Return a parameter that is a non-empty text; numbers of form senders are texts already."""
        value = self.params.get(name)
        return value if isinstance(value, str) and value else None

    def flag(self, name: str) -> bool | None:
        """Return a parameter that is a boolean, also as the text of a query or form."""
        value = self.params.get(name)
        if isinstance(value, bool):
            return value
        return {"true": True, "1": True, "false": False, "0": False}.get(value) if isinstance(value, str) else None


Handle = Callable[[Services, ApiRequest], Awaitable[Reply]]


@dataclass(frozen=True, slots=True)
class Call:
    """One method of one call; `name` may end with path parameters, as in `rooms.upload/{rid}`."""

    method: str
    name: str
    handle: Handle
    login: bool = True
    schema: Schema | None = None
    reads_body: bool = field(default=False)
    """The call reads the request's body itself (uploads)."""
    lists: bool = field(default=False)
    """The answer may be large: the caller has only a few of them under way."""


def get(name: str, handle: Handle, *, login: bool = True, schema: Schema | None = None) -> Call:
    """Declare a GET call."""
    return Call("GET", name, handle, login, schema)


def listing(name: str, handle: Handle, *, schema: Schema | None = None) -> Call:
    """Declare a GET call whose answer is a list."""
    return Call("GET", name, handle, schema=schema, lists=True)


def post(
    name: str, handle: Handle, *, login: bool = True, schema: Schema | None = None, reads_body: bool = False
) -> Call:
    """Declare a POST call."""
    return Call("POST", name, handle, login, schema, reads_body)


def put(name: str, handle: Handle, *, schema: Schema | None = None) -> Call:
    """Declare a PUT call."""
    return Call("PUT", name, handle, schema=schema)


class Api:
    """Serves a table of calls below `/api/v1/`."""

    def __init__(self, services: Services, calls: Iterable[Call]) -> None:
        self._services = services
        self._limit = RateLimit(services.settings.api_rate_per_minute, services.clock)
        self._turns = Turns()
        self._calls: dict[str, dict[str, Call]] = {}
        for call in calls:
            methods = self._calls.setdefault(call.name, {})
            if call.method in methods:
                raise ValueError(f"{call.method} {call.name} is declared twice")
            methods[call.method] = call

    def add_to(self, app: web.Application) -> None:
        """Register every call, and what answers for unknown ones."""
        for name, methods in self._calls.items():
            app.router.add_route("*", f"/api/v1/{name}", self._handler(methods))
        app.router.add_route("*", "/api/{rest:.*}", self._unknown)

    @staticmethod
    async def _unknown(_: web.Request) -> web.Response:
        return answer(NOT_FOUND, 404)

    def _handler(self, methods: Mapping[str, Call]) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        allow = ", ".join(sorted(methods))

        async def handle(request: web.Request) -> web.StreamResponse:
            call = methods.get(request.method)
            if call is None:
                return answer(WRONG_METHOD, 405, {"Allow": allow})
            return await self._run(call, request)

        return handle

    async def _run(self, call: Call, request: web.Request) -> web.StreamResponse:
        address = counted_address(request, self._services.settings.trusted_proxies)
        caller, token = None, request.headers.get("X-Auth-Token", "")
        if call.login:
            caller = await self._services.accounts.authenticate(request.headers.get("X-User-Id", ""), token)
            if caller is None:
                return answer(LOGIN_NEEDED, 401)
        allowance = self._limit.take(caller.id if caller else address)
        if allowance is not None and not allowance.allowed:
            return too_many(allowance.wait_s, allowance.headers)
        params = await self._params(call, request)
        if isinstance(params, BodyFault):
            return failure(params.text, params.status)
        fault = None if call.schema is None else validate(call.schema, params)
        if fault is not None:
            response = answer({"success": False, "error": fault, "errorType": INVALID_PARAMS}, 400)
        else:
            given = params if isinstance(params, Mapping) else {}
            asked = ApiRequest(given, address, request, token, caller)
            more = {} if allowance is None else allowance.headers
            if call.lists and caller is not None:
                async with self._turns.turn(caller.id):
                    return await _answer(await call.handle(self._services, asked), request, more)
            return await _answer(await call.handle(self._services, asked), request, more)
        if allowance is not None:
            response.headers.update(allowance.headers)
        return response

    async def _params(self, call: Call, request: web.Request) -> object:
        if call.method == "GET":
            return query_params(request)
        if call.reads_body:
            return {}
        raw = await read_raw(request, self._services.settings.max_body_bytes)
        if isinstance(raw, BodyFault):
            return raw
        body = parse_body(request.headers.get("Content-Type"), raw.decoded)
        if body is None:
            return {}
        return body if isinstance(body, BodyFault) else unwrap_payload(body)


def query_params(request: web.Request) -> dict[str, object]:
    """Return a GET's parameters; `key[]=` and repeated keys make lists (decision 51)."""
    found: dict[str, list[str]] = {}
    lists = set()
    for key, value in request.query.items():
        name = key.removesuffix("[]")
        if name != key:
            lists.add(name)
        found.setdefault(name, []).append(value)
    return {name: values if name in lists or len(values) > 1 else values[0] for name, values in found.items()}


async def _answer(reply: Reply, request: web.Request, headers: Mapping[str, str]) -> web.StreamResponse:
    match reply:
        case Listed():
            return await written(request, reply.body(success=True), headers)
        case web.StreamResponse():
            response = reply
        case Fault():
            response = refusal(reply)
        case _:
            response = success(reply)
    if not response.prepared:
        response.headers.update(headers)
    return response


def texts(value: object) -> Sequence[str]:
    """Return a parameter that is a text or a list of texts as a list."""
    if isinstance(value, str):
        return [value]
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []
