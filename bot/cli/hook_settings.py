"""Options of `patchbay hook add|edit` for what the REST schema does not know (decision 35)."""

from collections.abc import Callable
from typing import IO, Any, TypedDict
from zoneinfo import ZoneInfo

import click

from bot.cli.secrets import ask, read_secret, secret_file_option
from bot.services import Services
from bot.workspace.hook_options import NEVER, NEW_KEY, Options
from handlers.values import ValueType, read_value
from storage.clock import Millis
from storage.records.integration import Hook, OutgoingHook

Command = Callable[..., Any]  # Any: commands of every signature are decorated
LASTING = "never"


class Flags(TypedDict, total=False):
    """What click read, under the names of the options below; a command has those that fit it."""

    expires: str | None
    secret_file: IO[str] | None
    ask_secret: bool
    no_secret: bool
    dedup: str | None
    keep_requests: bool | None
    sign: bool
    signing_key_file: IO[str] | None
    no_sign: bool
    ordered: bool | None
    enabled: bool | None


def _all(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


expiry_option = click.option(
    "--expires", metavar="WHEN", help="From when it answers like a disabled one: 24h, 7d, 2026-12-31T18:00 or never."
)
incoming_settings = _all(
    secret_file_option("--secret-file", "the secret senders sign the body with"),
    click.option("--ask-secret", is_flag=True, help="Ask for that secret at the terminal."),
    click.option("--dedup", metavar="HEADER", help="Header with the sender's id, `standard` or `off`."),
    click.option("--keep-requests/--drop-requests", default=None, help="Keep the last requests, which is usual."),
)
outgoing_settings = _all(
    click.option("--sign", is_flag=True, help="Sign calls with a new Standard Webhooks key, printed once."),
    secret_file_option("--signing-key-file", "a key whsec_… to sign calls with"),
    click.option("--ordered/--unordered", default=None, help="One call at a time to each address."),
)
edit_settings = _all(
    click.option("--enable/--disable", "enabled", default=None, help="Switch the hook on or off."),
    expiry_option,
    incoming_settings,
    click.option("--no-secret", is_flag=True, help="Accept requests without a signature."),
    outgoing_settings,
    click.option("--no-sign", is_flag=True, help="Sign calls no more."),
)


def read_options(flags: Flags) -> Callable[[Services], Options]:
    """Read secrets and files now, before anything is opened; times count from when the work is done."""
    _exclude(flags, "secret_file", "ask_secret", "no_secret")
    _exclude(flags, "signing_key_file", "sign", "no_sign")
    secret = key = None
    if file := flags.get("secret_file"):
        secret = read_secret(file, "secret")
    elif flags.get("ask_secret"):
        secret = ask("Secret", "--secret-file")
    elif flags.get("no_secret"):
        secret = ""
    if file := flags.get("signing_key_file"):
        key = read_secret(file, "signing key")
    elif flags.get("sign"):
        key = NEW_KEY
    elif flags.get("no_sign"):
        key = ""

    def finish(services: Services) -> Options:
        return Options(
            enabled=flags.get("enabled"),
            expires_at=_expiry(flags.get("expires"), services),
            secret=secret,
            dedup=flags.get("dedup"),
            keep_requests=flags.get("keep_requests"),
            signing_key=key,
            ordered=flags.get("ordered"),
        )

    return finish


def new_signing_key(hook: Hook, flags: Flags) -> dict[str, object]:
    """Return the key that was made for a hook, to be shown once."""
    if isinstance(hook, OutgoingHook) and flags.get("sign"):
        return {"signing_key": hook.signing_keys[0].key}
    return {}


def _exclude(flags: Flags, *names: str) -> None:
    given = ["--" + name.replace("_", "-") for name in names if flags.get(name)]
    if len(given) > 1:
        raise click.UsageError(f"{' and '.join(given)} exclude each other.")


def _expiry(text: str | None, services: Services) -> Millis | None:
    if text is None:
        return None
    if text.lower() == LASTING:
        return NEVER
    now, zone = services.clock.now(), ZoneInfo(services.settings.time_zone)
    span = read_value(ValueType.DURATION, text, now=now, zone=zone)
    if isinstance(span, int):
        return Millis(now + span)
    moment = read_value(ValueType.TIME, text, now=now, zone=zone)
    if not isinstance(moment, int):
        raise click.BadParameter("use 24h, 7d, a time like 2026-12-31T18:00, or never.", param_hint="--expires")
    return Millis(moment)
