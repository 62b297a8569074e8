"""`patchbay export` and `patchbay import`: all hooks in one file, and back (decision 67)."""

import os
import sys
from pathlib import Path
from typing import IO

import click

from bot.cli import sealed_file
from bot.cli.common import as_owner, data_option, fail, json_option
from bot.cli.output import print_json, text
from bot.cli.secrets import ask, read_secret, secret_file_option
from bot.services import Services
from bot.workspace.importing import Importing
from handlers.answers import plural
from handlers.errors import Fault
from handlers.portable.nodes import MAX_BYTES, DocumentFault
from handlers.portable.planning import ImportPlan, Step
from handlers.portable.telling import counted, facts, refusals, told
from handlers.portable.writing import written
from storage.ids import timed_id
from storage.records.audit import AuditRow
from storage.records.changes import Changes
from storage.records.integration import BY_NAME, Direction, Hook, IncomingHook, direction
from storage.records.user import User

DOOR = "cli"
_NOUNS = {"in": Direction.INCOMING, "out": Direction.OUTGOING}
_LARGEST = MAX_BYTES + 1024
"""Bytes of a file that is read: a document and what sealing adds."""

passphrase_option = secret_file_option("--passphrase-file", "the passphrase; default: it is asked for")


@click.command("export")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="New file; default: print it.")
@click.option("--noun", type=click.Choice(tuple(_NOUNS)), help="Only incoming (in) or only outgoing (out) hooks.")
@click.option("--encrypted", is_flag=True, help="With all secrets, sealed under a passphrase.")
@passphrase_option
@data_option
def export(
    output: Path | None, noun: str | None, encrypted: bool, passphrase_file: IO[str] | None, data: Path | None
) -> None:
    """Write all hooks as one YAML file.

    Secrets stand as ***, which an import takes as "keep what is stored". With --encrypted the file holds them too,
    under a passphrase without which nobody opens it.
    """
    if passphrase_file is not None and not encrypted:
        raise click.UsageError("--passphrase-file belongs to --encrypted.")
    if encrypted and output is None and sys.stdout.isatty():
        raise click.UsageError("An encrypted export is no text; name a file with -o.")
    if output is not None and output.exists():
        fail(f"{output} exists already; name a new file.")
    passphrase = _new_passphrase(passphrase_file) if encrypted else None
    only = None if noun is None else _NOUNS[noun]

    async def work(services: Services, owner: User) -> tuple[str, int]:
        seen = services.hooks.seen(owner, order=BY_NAME)
        mine = [hook async for hook in services.directory.every_hook(seen) if only is None or direction(hook) is only]
        line = " ".join(["export", *(["--encrypted"] if encrypted else []), *([f"--noun {noun}"] if noun else [])])
        await services.store.commit(Changes(audit=(_row(services, owner, "export", line),)))
        return written(mine, now=services.clock.now(), masked=not encrypted, only=only), len(mine)

    document, count = as_owner(data, work)
    content = document.encode() if passphrase is None else sealed_file.seal(document, passphrase)
    if output is None:
        sys.stdout.buffer.write(content)
    else:
        _write_new(output, content)
    secrets = "with their secrets, encrypted" if encrypted else "without secrets"
    click.echo(f"Done. {plural(count, 'hook')}, {secrets}{f': {output}' if output else ''}.", err=True)
    if len(document.encode()) > MAX_BYTES:
        click.echo(f"Warning: import takes {MAX_BYTES:,} bytes; export --noun in and --noun out apart.", err=True)


@click.command("import")
@click.argument("file", type=click.File("rb"))
@click.option("--dry-run", is_flag=True, help="Tell what would happen and change nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--overwrite", is_flag=True, help="Also what changed here since the file was written.")
@passphrase_option
@json_option
@data_option
def import_(
    file: IO[bytes],
    dry_run: bool,
    yes: bool,
    overwrite: bool,
    passphrase_file: IO[str] | None,
    as_json: bool,
    data: Path | None,
) -> None:
    """Read hooks from FILE, plain or encrypted; - is standard input.

    First tells what would be new, changed and refused, then asks, then writes all of it or nothing. Hooks that are not
    in the file, users and roles stay as they are.
    """
    content = _read(file, passphrase_file)

    async def look(services: Services, owner: User) -> ImportPlan | Fault:
        return await _planned(services, owner, content, overwrite=overwrite)

    plan = as_owner(data, look)
    if dry_run or not (plan.new or plan.changed):
        _tell(plan, as_json=as_json, done=False)
        return
    if not yes:
        if not sys.stdin.isatty():
            raise click.UsageError("There is no terminal to ask at; use --yes, or --dry-run to look.")
        click.echo(_plain(told(plan, None)), err=True)
        click.confirm(f"Import {counted(plan)}?", abort=True, err=True)

    async def work(services: Services, owner: User) -> tuple[ImportPlan, dict[str, dict[str, str]]] | Fault:
        again = await _planned(services, owner, content, overwrite=overwrite)
        if isinstance(again, Fault):
            return again
        if again.version != plan.version:
            return Fault("Somebody changed these hooks since you were asked; nothing was imported. Look and repeat.")
        row = _row(services, owner, "import", "import FILE")
        fault = await _importing(services).carry_out(owner, again, Changes(audit=(row,)))
        return Fault(fault) if fault else (again, {step.hook.id: _made(step, services.base_url) for step in again.new})

    done, made = as_owner(data, work)
    _tell(done, as_json=as_json, done=True, made={hook_id: secrets for hook_id, secrets in made.items() if secrets})


async def _planned(services: Services, owner: User, content: str, *, overwrite: bool) -> ImportPlan | Fault:
    plan = await _importing(services).plan(owner, content, overwrite=overwrite)
    if isinstance(plan, DocumentFault):
        return Fault(f"The file cannot be imported. Line {plan.line}: {plan.text}")
    if plan.refused:
        more = "\nUse --overwrite for what changed since the file was written." if plan.stale else ""
        rest = f"\nThe rest would be: {counted(plan)}." if plan.steps else ""
        return Fault(f"Nothing was changed.\n{_plain(refusals(plan.refused, None))}{rest}{more}")
    return plan


def _importing(services: Services) -> Importing:
    return Importing(services.directory, services.store, services.fanout, services.clock, services.hooks.rules)


def _tell(plan: ImportPlan, *, as_json: bool, done: bool, made: dict[str, dict[str, str]] | None = None) -> None:
    if as_json:
        print_json({**facts(plan, done=done), "done": done, "shown_once": made or {}})
        return
    if not done:
        rows = told(plan, None)
        click.echo(f"Nothing was changed. The file holds {counted(plan)}.{f'{chr(10)}{_plain(rows)}' if rows else ''}")
        return
    click.echo(f"Done. Imported {counted(plan)}.")
    names: dict[str, str] = {step.hook.id: step.hook.name for step in plan.new}
    for hook_id, secrets in (made or {}).items():
        for what, secret in secrets.items():
            click.echo(f"{text(names[hook_id])} ({hook_id}) {what}: {secret}")
    if made:
        click.echo("What was made for new hooks is shown only once.", err=True)


def _made(step: Step, base_url: str) -> dict[str, str]:
    made = dict(step.made)
    if isinstance(step.hook, IncomingHook) and "token" in made:
        return {"address": _address(step.hook, base_url), **{k: v for k, v in made.items() if k != "token"}}
    return made


def _address(hook: Hook, base_url: str) -> str:
    return f"{base_url}/hooks/{hook.id}/{hook.token}"


def _row(services: Services, owner: User, command: str, line: str) -> AuditRow:
    now = services.clock.now()
    return AuditRow(
        id=timed_id(now),
        org_id=owner.org_id,
        at=now,
        actor_id=owner.id,
        actor_name=owner.username,
        door=DOOR,
        place=DOOR,
        command=command,
        line=line,
        outcome="done",
    )


def _read(file: IO[bytes], passphrase_file: IO[str] | None) -> str:
    """Return the document of a file, opened with its passphrase where it is sealed."""
    content = file.read(_LARGEST + 1)
    if len(content) > _LARGEST:
        fail(f"The file has more than {MAX_BYTES:,} bytes; at most that many are taken.")
    if not sealed_file.is_sealed(content):
        if passphrase_file is not None:
            fail("This file is not encrypted; leave --passphrase-file out.")
        try:
            return content.decode("utf-8-sig")
        except UnicodeDecodeError:
            fail("The file is not UTF-8 text.")
    passphrase = _passphrase(passphrase_file)
    try:
        return sealed_file.unseal(content, passphrase)
    except sealed_file.SealFault as error:
        fail(str(error))


def _passphrase(file: IO[str] | None) -> str:
    if file is not None:
        return read_secret(file, "passphrase")
    if not sys.stdin.isatty():
        raise click.UsageError("There is no terminal to ask for the passphrase at; use --passphrase-file.")
    typed: str = click.prompt("Passphrase", hide_input=True, err=True)
    return typed


def _new_passphrase(file: IO[str] | None) -> str:
    chosen = read_secret(file, "passphrase") if file is not None else ask("Passphrase", "--passphrase-file")
    if len(chosen) < sealed_file.SHORTEST:
        raise click.UsageError(f"The passphrase needs at least {sealed_file.SHORTEST} characters.")
    return chosen


def _write_new(path: Path, content: bytes) -> None:
    """Write a file that only its owner reads and that was not there before."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        fail(f"{path}: {error.strerror}.")


def _plain(rows: str) -> str:
    """Return rows whose characters no terminal acts on."""
    return "\n".join(text(line) for line in rows.split("\n"))
