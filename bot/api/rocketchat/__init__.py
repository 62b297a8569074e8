"""Rocket.Chat REST: one module for each family of calls, collected by scanning this folder."""

import pkgutil
from importlib import import_module

from bot.api.rocketchat.calls import Call


def all_calls() -> list[Call]:
    """Return the calls of every module here that declares some."""
    names = (name for _, name, _ in pkgutil.iter_modules(__path__))
    modules = (import_module(f"{__name__}.{name}") for name in names)
    return [call for module in modules for call in getattr(module, "CALLS", ())]
