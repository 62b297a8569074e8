"""`patchbay hook deliveries` and `hook dead`: what is on its way, what failed for good, and sending it again."""

from contextlib import nullcontext
from pathlib import Path

import click

from bot.cli import hook_views as views
from bot.cli.common import as_owner, data_option, json_option
from bot.cli.hook_refs import find
from bot.cli.output import print_json, print_rows, progress
from bot.services import Services
from handlers.answers import plural
from handlers.deliveries import Shown, read_id
from handlers.errors import Fault
from storage.ids import DeliveryId
from storage.records.delivery import DeliveryState
from storage.records.user import User

COLUMNS = ("id", "state", "at", "hook", "event", "calls", "tries", "reason")
SAMPLE = 5
ASK_FROM = 10
"""More than this many are queued again only after a question."""

count_option = click.option(
    "--count", type=click.IntRange(1, 1000), default=20, show_default=True, help="How many, newest first."
)


@click.command()
@click.argument("ref")
@click.option("--state", type=click.Choice([state.value for state in DeliveryState]), help="Only those.")
@count_option
@json_option
@data_option
def deliveries(ref: str, state: str | None, count: int, as_json: bool, data: Path | None) -> None:
    """Show what the outgoing hook REF had to deliver.

    With --json also every attempt: time, status, beginning of the answer, error; secrets masked.
    """
    _print_page(ref, DeliveryState(state) if state else None, count, as_json, data, empty="There are no deliveries.")


@click.group()
def dead() -> None:
    """Dead letters: deliveries that failed for good; kept 90 days."""


@dead.command("list")
@click.argument("ref", required=False)
@count_option
@json_option
@data_option
def list_dead(ref: str | None, count: int, as_json: bool, data: Path | None) -> None:
    """List the dead letters of the hook REF, or all.

    With --json also every attempt: time, status, beginning of the answer, error; secrets masked.
    """
    _print_page(ref, DeliveryState.DEAD, count, as_json, data, empty="There are no dead letters.")


@dead.command()
@click.argument("refs", metavar="[REF]...", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All dead letters of all hooks.")
@click.option("--dry-run", is_flag=True, help="Only show how many and the first of them.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@data_option
def retry(refs: tuple[str, ...], everything: bool, dry_run: bool, yes: bool, as_json: bool, data: Path | None) -> None:
    """Queue dead letters again, with a fresh retry budget.

    REF is one of them (dlv_…), or a hook for all of its. They are sent while a server runs.
    """
    if everything == bool(refs):
        raise click.UsageError("Name dead letters (dlv_…) or hooks, or say --all.")

    async def choose(services: Services, owner: User) -> tuple[list[DeliveryId], list[Shown]] | Fault:
        ids = await _chosen(services, owner, refs)
        if isinstance(ids, Fault):
            return ids
        sample = [await services.deliveries.dead_letter(owner, each) for each in ids[:SAMPLE]]
        return ids, [each for each in sample if not isinstance(each, Fault)]

    ids, sample = as_owner(data, choose)
    if dry_run:
        _print_plan(len(ids), sample, as_json=as_json)
        return
    if len(ids) > ASK_FROM and not yes:
        click.confirm(f"Queue {plural(len(ids), 'dead letter')} again?", abort=True, err=True)

    async def work(services: Services, owner: User) -> int | Fault:
        with progress("Dead letters") if len(ids) > ASK_FROM else nullcontext(None) as step:
            return await services.deliveries.retry(owner, ids, step)

    queued = as_owner(data, work)
    left = len(ids) - queued
    if as_json:
        print_json({"queued": queued, "left": left})
    else:
        why = f" {left} had no hook or address left to go to, or were queued already." if left else ""
        click.echo(f"Done. {plural(queued, 'dead letter')} queued again.{why}")


async def _chosen(services: Services, owner: User, refs: tuple[str, ...]) -> list[DeliveryId] | Fault:
    """Return what references mean, each dead letter once; no reference means all."""
    chosen: dict[DeliveryId, None] = {}
    for ref in refs or (None,):
        named = read_id(ref) if ref is not None else None
        if named is not None:
            letter = await services.deliveries.dead_letter(owner, named)
            if isinstance(letter, Fault):
                return letter
            chosen[named] = None
            continue
        hook = await find(services, owner, ref, whole_name=True) if ref is not None else None
        if isinstance(hook, Fault):
            return hook
        ids = await services.deliveries.dead_letters(owner, hook.id if hook is not None else None)
        if isinstance(ids, Fault):
            return ids
        chosen.update(dict.fromkeys(ids))
    return list(chosen)


def _print_page(
    ref: str | None, state: DeliveryState | None, count: int, as_json: bool, data: Path | None, *, empty: str
) -> None:
    async def work(services: Services, owner: User) -> tuple[list[Shown], int] | Fault:
        hook = await find(services, owner, ref) if ref is not None else None
        if isinstance(hook, Fault):
            return hook
        return await services.deliveries.page(owner, hook.id if hook is not None else None, state=state, count=count)

    found, total = as_owner(data, work)
    print_rows([views.delivery(each) for each in found], COLUMNS, as_json=as_json, empty=empty)
    if len(found) < total:
        click.echo(f"The newest {len(found)} of {total:,}; see --count.", err=True)


def _print_plan(count: int, sample: list[Shown], *, as_json: bool) -> None:
    rows = [views.delivery(each) for each in sample]
    if as_json:
        print_json({"count": count, "sample": rows})
        return
    click.echo(f"{plural(count, 'dead letter')} would be queued again{', first these' if count > len(rows) else ''}:")
    print_rows(rows, COLUMNS, as_json=False, empty="None.")
