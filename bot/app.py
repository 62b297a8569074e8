"""The web application: every door on one set of routes."""

from zoneinfo import ZoneInfo

from aiohttp import web

from bot.api.realtime.door import Realtime
from bot.api.rocketchat import all_calls
from bot.api.rocketchat.calls import Api
from bot.api.rocketchat.session import info
from bot.services import Services
from bot.web.avatars import AVATAR, avatar
from bot.web.chat_doors import ChatDoors, adapters_here
from bot.web.chat_proof import ChatProof
from bot.web.commands import CommandRoutes
from bot.web.exports import ExportRoutes
from bot.web.files import FileRoutes
from bot.web.forms import FormRoutes, running
from bot.web.health import HealthRoutes
from bot.web.hooks import HookRoutes
from bot.web.interactions import InteractionRoutes
from bot.web.limits import RateLimit
from bot.web.middleware import Shortcut
from bot.web.rocketchat_app import RocketChatAppRoutes
from bot.web.strangers import Strangers
from bot.web.terminal import TerminalRoutes
from bot.workspace.downloads import Downloads

SHORTCUT = web.AppKey("shortcut", Shortcut)


def make_app(services: Services) -> web.Application:
    """Wire the doors; nothing is opened here."""
    settings = services.settings
    app = web.Application(client_max_size=settings.max_body_bytes)
    strangers = Strangers(RateLimit(settings.api_rate_per_minute, services.clock), settings.trusted_proxies)
    proof = ChatProof(services, strangers)
    hooks = HookRoutes(
        services.directory,
        services.receive,
        services.hooks,
        services.allotment,
        RateLimit(settings.hook_rate_per_minute, services.clock),
        services.store,
        services.clock,
        services.metrics,
        settings.max_body_bytes,
        strangers,
    )
    hooks.add_to(app)
    app[SHORTCUT] = hooks.shortcut
    app.router.add_get("/api/info", info)
    Api(services, all_calls()).add_to(app)
    realtime = Realtime(services)
    realtime.add_to(app)
    TerminalRoutes(services).add_to(app)
    RocketChatAppRoutes(services, proof).add_to(app)
    doors, adapters = ChatDoors(services, proof), adapters_here()
    doors.add_to(app)
    CommandRoutes(doors, adapters).add_to(app)
    InteractionRoutes(doors, adapters).add_to(app)
    FormRoutes(
        services.forms,
        running(services.flow),
        RateLimit(settings.api_rate_per_minute, services.clock),
        settings.trusted_proxies,
        ZoneInfo(settings.time_zone),
    ).add_to(app)
    ExportRoutes(
        Downloads(services.store, services.directory, services.clock, services.base_url),
        services.hooks,
        services.directory,
        services.clock,
        RateLimit(settings.api_rate_per_minute, services.clock),
        settings.trusted_proxies,
        ZoneInfo(settings.time_zone),
    ).add_to(app)
    FileRoutes(services).add_to(app)
    app.router.add_get(AVATAR, avatar)
    HealthRoutes(services.store, services.supervisor, services.metrics, services.clock).add_to(app)
    return app
