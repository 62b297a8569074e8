"""Every setting of the server, read from `PATCHBAY_*` variables; nothing else reads the environment."""

import ctypes
import os
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from bot.workspace.user_fields import username_fault
from handlers.http import Refused
from handlers.targets import AllowList, parse_url
from storage.errors import VaultError
from storage.ids import ROCKET_CAT
from storage.vault import parse_keys

PREFIX = "PATCHBAY_"
NOT_SETTINGS = frozenset({"PATCHBAY_SHARED", "PATCHBAY_TOKEN"})
"""Variables with our prefix that others read: the tests' contracts, a client's personal token."""

Network = IPv4Network | IPv6Network
Count = Annotated[int, Field(ge=0)]
Bytes = Annotated[int, Field(ge=1)]


class Settings(BaseSettings):
    """One field for each setting; each stands in `app.json` too, which a test compares."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid", hide_input_in_errors=True)

    host: str = Field("127.0.0.1", description="Address to listen on; IPv6 works too.")
    port: int = Field(8084, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    data: Path = Field(Path("data"), description="Folder of the database, uploads, backups and key file.")
    base_url: str | None = Field(
        None, description="Address people reach the server at; default http://HOST:PORT. Makes every absolute address."
    )
    trusted_proxies: Annotated[tuple[Network, ...], NoDecode] = Field(
        (), description="Networks whose X-Forwarded-For header counts, comma-separated."
    )
    allow_targets: str = Field(
        "",
        description="Private hosts or networks outgoing calls may reach, comma-separated, optional :port.",
    )
    owner_username: str = Field("owner", description="User name of the owner made on the first start.")
    owner_email: str | None = Field(None, description="E-mail address of the owner made on the first start.")
    owner_password: SecretStr | None = Field(
        None, description="Password of the owner made on the first start; default: one is made and printed once."
    )
    encryption_key: SecretStr | None = Field(
        None, description="Base64 keys of 32 bytes, comma-separated, the first seals; default: DATA/patchbay.key."
    )
    hook_rate_per_minute: Count = Field(600, description="Requests a minute for each incoming hook; 0 is off.")
    api_rate_per_minute: Count = Field(600, description="Calls a minute for each user; 0 is off.")
    hook_bytes_per_day: Count = Field(
        256 << 20, description="Bytes an incoming hook, or a user who posts, may store a day; 0 is off."
    )
    hooks_per_user: Count = Field(500, description="Integrations one user may have made; 0 is off.")
    max_body_bytes: Bytes = Field(1 << 20, description="Longest JSON or form body, in bytes after unpacking.")
    max_upload_bytes: Bytes = Field(10 << 20, description="Longest uploaded file, in bytes.")
    upload_quota_bytes: Bytes = Field(1 << 30, description="All files of one user together, in bytes.")
    message_max_chars: Annotated[int, Field(ge=1)] = Field(40_000, description="Longest message text, in characters.")
    outgoing_timeout_s: Annotated[float, Field(gt=0, le=300)] = Field(
        20.0, description="Seconds an outgoing call may take in all."
    )
    outgoing_concurrency: Annotated[int, Field(ge=1, le=4096)] = Field(
        256, description="Outgoing calls under way at once."
    )
    loop_watch_ms: Count = Field(
        0, description="Log callbacks that keep the event loop for longer than so many milliseconds; 0 is off."
    )
    time_zone: str = Field("UTC", description="Time zone of printed times and of words like today.")
    log_level: str = Field("info", pattern="^(debug|info|warning|error)$", description="Least level that is logged.")

    @field_validator("trusted_proxies", mode="before")
    @classmethod
    def _networks(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(ip_network(part.strip()) for part in value.split(",") if part.strip())
        return value

    @field_validator("allow_targets")
    @classmethod
    def _targets(cls, value: str) -> str:
        AllowList.parse(value)
        return value

    @field_validator("encryption_key")
    @classmethod
    def _keys(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            try:
                parse_keys(value.get_secret_value())
            except VaultError as error:
                raise ValueError(str(error)) from error
        return value

    @field_validator("owner_password")
    @classmethod
    def _password(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value()) < 12:
            raise ValueError("a password needs at least 12 characters")
        return value

    @field_validator("time_zone")
    @classmethod
    def _zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError("no such time zone; use a name like Europe/Berlin") from error
        return value

    @field_validator("base_url")
    @classmethod
    def _base(cls, value: str | None) -> str | None:
        if value is None:
            return None
        if any(char in value for char in "?# "):
            raise ValueError("must be a plain address, without query, fragment and spaces")
        target = parse_url(value)
        if isinstance(target, Refused):
            raise ValueError(target.message)
        return value.rstrip("/")

    @field_validator("owner_username")
    @classmethod
    def _username(cls, value: str) -> str:
        if fault := username_fault(value):
            raise ValueError(fault.reason)
        if value.lower() == ROCKET_CAT:
            raise ValueError(f"{ROCKET_CAT} is the name of the bot; use another one")
        return value

    @field_validator("owner_email")
    @classmethod
    def _email(cls, value: str | None) -> str | None:
        if value is not None and "@" not in value:
            raise ValueError("must be an e-mail address")
        return value

    def url(self, port: int | None = None) -> str:
        """Return the base of every absolute address, without a slash at its end (decision 27)."""
        if self.base_url:
            return self.base_url
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port if port is None else port}"


SECRETS = frozenset(
    PREFIX + name.upper() for name, field in Settings.model_fields.items() if field.annotation == SecretStr | None
)
"""Variables that are taken out of the environment once they are read; in whichever case they are written."""


@dataclass(frozen=True, slots=True)
class SettingsFault:
    """Why the start stops; each line names the variable."""

    text: str


def load(overrides: Mapping[str, Any] | None = None) -> Settings | SettingsFault:
    """Read the environment; `overrides` are options of the command line and win.

    An unknown `PATCHBAY_*` variable or a wrong value is a fault that names the variable. Secrets are taken out of the
    environment with that: whoever reads again finds them no more.
    """
    unknown = sorted(name for name in os.environ if name.startswith(PREFIX) and not _known(name))
    if unknown:
        known = ", ".join(sorted(PREFIX + name.upper() for name in Settings.model_fields))
        return SettingsFault(f"{unknown[0]} is not a setting. Known are: {known}.")
    try:
        return Settings(**(overrides or {}))
    except ValidationError as error:
        return SettingsFault("\n".join(_sentence(dict(fault)) for fault in error.errors()))
    finally:
        for name in [name for name in os.environ if name.upper() in SECRETS]:
            _take(name)


def client_token() -> str | None:
    """Return the personal token of whoever types commands for a running server (decision 68)."""
    return _take("PATCHBAY_TOKEN") or None


def source(name: str, found: Settings, overrides: Mapping[str, Any]) -> str:
    """Tell where a setting's value came from: `option`, `environment` or `default`."""
    if name in overrides:
        return "option"
    return "environment" if name in found.model_fields_set else "default"


def _take(name: str) -> str | None:
    """Read a variable and take it out of the environment: no child inherits it, and no list of processes shows it.

    What the kernel shows of a running process (`/proc/PID/environ`) is the memory the variables lay in when it
    started, which stays as it is when one is removed: so the value is overwritten there.
    """
    value = os.environ.get(name)
    if value is None:
        return None
    getenv = ctypes.CDLL(None).getenv
    getenv.restype = ctypes.c_void_p
    if (place := getenv(name.encode())) is not None:
        ctypes.memset(place, 0, len(os.fsencode(value)))
    del os.environ[name]
    return value


def _known(name: str) -> bool:
    return name in NOT_SETTINGS or name.removeprefix(PREFIX).lower() in Settings.model_fields


def _sentence(fault: Mapping[str, Any]) -> str:
    where = PREFIX + str(fault["loc"][0]).upper() + ": " if fault["loc"] else ""
    text = str(fault["msg"]).removeprefix("Value error, ")
    return where + text + ("" if text.endswith((".", "!")) else ".")
