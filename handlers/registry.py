"""Collect the plug-ins of a folder: one module each, ending with one constant."""

from collections.abc import Mapping
from importlib import import_module
from pkgutil import iter_modules
from types import MappingProxyType, ModuleType
from typing import Protocol, TypeVar


class Named(Protocol):
    """What every plug-in has: the name people choose it by."""

    @property
    def name(self) -> str: ...


T = TypeVar("T", bound=Named)


def load(package: ModuleType, constant: str) -> Mapping[str, T]:
    """Return the plug-ins of a package by name, in alphabetical order of their modules.

    Raises `ValueError` when a module lacks the constant or two plug-ins share a name: both are mistakes of
    whoever wrote the module, and the server should not start.
    """
    found: dict[str, T] = {}
    for info in iter_modules(package.__path__):
        module = import_module(f"{package.__name__}.{info.name}")
        plugin: T | None = getattr(module, constant, None)
        if plugin is None:
            raise ValueError(f"{module.__name__} has no {constant}; end the module with that constant")
        if plugin.name in found:
            raise ValueError(f"{module.__name__} is the second plug-in named {plugin.name!r}; rename one of them")
        found[plugin.name] = plugin
    return MappingProxyType(found)
