"""`patchbay hook add`: making hooks of both directions (decisions 35, 42)."""

from pathlib import Path
from typing import IO, Unpack

import click

from bot.cli.common import as_owner, data_option, json_option
from bot.cli.hook_settings import (
    Flags,
    expiry_option,
    incoming_settings,
    new_signing_key,
    outgoing_settings,
    read_options,
)
from bot.cli.hook_views import address, calls
from bot.cli.output import print_facts
from bot.cli.secrets import read_secret, secret_file_option
from bot.services import Services
from bot.workspace.hook_forms import Body
from bot.workspace.hook_options import Options
from handlers.errors import Fault
from handlers.outgoing.events import OutgoingEvent
from handlers.outgoing.retries import DELAYS
from storage.ids import ROCKET_CAT, hook_token
from storage.records.integration import Direction, Hook, direction
from storage.records.user import User

RETRIES = 6

post_as_option = click.option("--post-as", default=ROCKET_CAT, show_default=True, help="User its messages come from.")
alias_option = click.option("--alias", help="Name shown instead of the user's.")
avatar_option = click.option("--avatar", help="Address of the picture shown.")
emoji_option = click.option("--emoji", help="Emoji shown as the picture, like :tada:.")


@click.group()
def add() -> None:
    """Make a hook."""


@add.command()
@click.argument("name")
@click.option("--room", "rooms", multiple=True, required=True, help="Where it posts: '#room' or '@user'; repeatable.")
@post_as_option
@alias_option
@avatar_option
@emoji_option
@click.option("--allow-override", is_flag=True, help="Let the sender choose other rooms.")
@expiry_option
@incoming_settings
@json_option
@data_option
def incoming(
    name: str,
    rooms: tuple[str, ...],
    post_as: str,
    alias: str | None,
    avatar: str | None,
    emoji: str | None,
    allow_override: bool,
    as_json: bool,
    data: Path | None,
    **flags: Unpack[Flags],
) -> None:
    """Make the incoming hook NAME.

    Its address is printed only once: whoever has it can post.
    """
    body: Body = {
        "type": Direction.INCOMING.value,
        "name": name,
        "enabled": True,
        "username": post_as,
        "channel": ",".join(rooms),
        "alias": alias,
        "avatar": avatar,
        "emoji": emoji,
        "overrideDestinationChannelEnabled": allow_override,
        "scriptEnabled": False,
    }
    made, base = _make(data, body, flags)
    facts = {"id": made.id, "name": made.name, "rooms": list(made.channels), "address": address(made, base)}
    print_facts(facts, as_json=as_json)
    click.echo("The address is shown only once; whoever has it can post.", err=True)


@add.command()
@click.argument("name")
@click.option("--event", type=click.Choice([event.value for event in OutgoingEvent]), required=True, help="What fires.")
@click.option("--url", "urls", multiple=True, help="Address to call; repeatable.")
@click.option("--url-file", type=click.File("r", encoding="utf-8"), help="File with addresses, one a line; - is stdin.")
@click.option("--room", "rooms", multiple=True, help="Where it listens; repeatable, default every public room.")
@click.option("--trigger", "triggers", multiple=True, help="Word a message must begin with; repeatable.")
@click.option("--anywhere", is_flag=True, help="The word may stand anywhere in the message.")
@click.option("--on-edits", is_flag=True, help="Edited messages fire too.")
@click.option("--target-room", help="Where answers to userCreated go.")
@click.option(
    "--retries", type=click.IntRange(0), default=RETRIES, show_default=True, help="Tries after a failed call."
)
@click.option("--retry-delay", type=click.Choice(DELAYS), default=DELAYS[0], show_default=True, help="Waits between.")
@secret_file_option("--token-file", "the token calls carry; default: one is made and printed once")
@post_as_option
@alias_option
@avatar_option
@emoji_option
@expiry_option
@outgoing_settings
@json_option
@data_option
def outgoing(
    name: str,
    event: str,
    urls: tuple[str, ...],
    url_file: IO[str] | None,
    rooms: tuple[str, ...],
    triggers: tuple[str, ...],
    anywhere: bool,
    on_edits: bool,
    target_room: str | None,
    retries: int,
    retry_delay: str,
    token_file: IO[str] | None,
    post_as: str,
    alias: str | None,
    avatar: str | None,
    emoji: str | None,
    as_json: bool,
    data: Path | None,
    **flags: Unpack[Flags],
) -> None:
    """Make the outgoing hook NAME.

    It calls addresses when something happens in rooms. An address often carries a key;
    --url-file keeps it out of the process list.
    """
    _fitting(OutgoingEvent(event), rooms=rooms, triggers=triggers, target_room=target_room)
    if url_file is not None:
        urls = (*urls, *filter(None, (line.strip() for line in url_file)))
    if not urls:
        raise click.UsageError("Name at least one address with --url or --url-file.")
    body: Body = {
        "type": Direction.OUTGOING.value,
        "name": name,
        "enabled": True,
        "username": post_as,
        "channel": ",".join(rooms),
        "event": event,
        "urls": list(urls),
        "triggerWords": list(triggers),
        "triggerWordAnywhere": anywhere,
        "runOnEdits": on_edits,
        "targetRoom": target_room,
        "token": read_secret(token_file, "token") if token_file else hook_token(),
        "retryFailedCalls": retries > 0,
        "retryCount": retries,
        "retryDelay": retry_delay,
        "alias": alias,
        "avatar": avatar,
        "emoji": emoji,
        "scriptEnabled": False,
    }
    made, _ = _make(data, body, flags)
    facts = {"id": made.id, "name": made.name, "event": event, "calls": calls(made)}
    shown_once: dict[str, object] = {} if token_file else {"token": made.token}
    shown_once |= new_signing_key(made, flags)
    print_facts({**facts, **shown_once}, as_json=as_json)
    if shown_once:
        click.echo(f"Shown only once: {' and '.join(shown_once)}.", err=True)


def _fitting(
    event: OutgoingEvent, *, rooms: tuple[str, ...], triggers: tuple[str, ...], target_room: str | None
) -> None:
    """Refuse what the event would ignore; REST drops it silently, a person should hear of it."""
    if rooms and not event.uses_channels:
        raise click.UsageError(f"{event.value} is heard from everywhere; leave --room out.")
    if triggers and not event.uses_trigger_words:
        raise click.UsageError(f"Only messages have trigger words; leave --trigger out of {event.value}.")
    if event.uses_target_room and target_room is None:
        raise click.UsageError(f"{event.value} needs --target-room for the answers.")


def _make(data: Path | None, body: Body, flags: Flags) -> tuple[Hook, str]:
    """Make a hook with all its settings, or none; returns the base of its address too."""
    read = read_options(flags)

    async def work(services: Services, owner: User) -> tuple[Hook, str] | Fault:
        options = read(services)
        made = await services.hooks.create(owner, body)
        if not isinstance(made, Fault) and options != Options():
            made = await _with_options(services, owner, made, options)
        return made if isinstance(made, Fault) else (made, services.base_url)

    return as_owner(data, work)


async def _with_options(services: Services, owner: User, made: Hook, options: Options) -> Hook | Fault:
    edited = await services.hooks.edit(owner, made.id, options)
    if isinstance(edited, Fault):
        await services.hooks.remove(owner, {"type": direction(made).value, "integrationId": made.id})
    return edited
