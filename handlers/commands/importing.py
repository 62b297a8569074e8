"""`import`: a file of hooks, told first and then written as one unit (decision 67)."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Final, Protocol

from handlers.answers import inert, plural
from handlers.command import Answer, Call, Command, Confirm, Mark, Noun, Plan, Thing
from handlers.line import Problem, ProblemKind, one_line
from handlers.portable.nodes import MAX_BYTES, DocumentFault
from handlers.portable.planning import ImportPlan, Step, tells_secrets
from handlers.portable.telling import counted, facts, kind_of, refusals, told
from handlers.services import Need
from handlers.slots import Argument, Flag
from handlers.values import ValueType
from storage.records.changes import Changes
from storage.records.integration import IncomingHook
from storage.records.user import Role


class ImportDesk(Protocol):
    """What a file would do, and doing it, with the caller's rights."""

    async def plan(self, text: str, *, overwrite: bool) -> ImportPlan | DocumentFault:
        """Say what a file would do; nothing is changed."""
        ...

    async def carry_out(self, plan: ImportPlan, also: Changes) -> str | None:
        """Write all of a plan and `also`, or nothing; return why not as a sentence, or None."""
        ...

    async def page(self, line: str) -> str:
        """Return an address at which the caller can type the document of this line once."""
        ...

    def address(self, hook: IncomingHook) -> str:
        """Return where a hook takes its posts, token and all."""
        ...


IMPORTS: Need[ImportDesk] = Need("imports")

DOCUMENT: Final = "DOCUMENT"
PRIVATE: Final = "document"
MOST_MADE: Final = 25
"""New hooks whose addresses one answer shows; a longer one would be cut where it must not be."""
MOST_NOTED: Final = 5
"""Hooks one room's line names."""


async def _run(call: Call) -> Plan | Answer | Problem:
    typed, private = call.values.text(DOCUMENT), call.values.secret(PRIVATE)
    overwrite = call.values.switch("overwrite")
    line = f"import {'--overwrite ' if overwrite else ''}--{PRIVATE} ?"
    text = private or typed
    if text is None:
        return await _page(call, line)
    plan = await call.services.of(IMPORTS).plan(_without_fence(text), overwrite=overwrite)
    if problem := _unfit(call, plan, in_line=private is None):
        return problem
    if not isinstance(plan, ImportPlan) or plan.refused:
        return _refused(call, plan)
    if not (plan.new or plan.changed):
        return Answer(f"{Mark.DONE}. Nothing to import: {counted(plan)}.", data=facts(plan))
    return _planned(call, plan, line, text)


def _planned(call: Call, plan: ImportPlan, line: str, text: str) -> Plan:
    context, steps = call.context, (*plan.new, *plan.changed)

    async def apply(also: Changes) -> Answer | Problem:
        if fault := await call.services.of(IMPORTS).carry_out(plan, also):
            return Problem(kind=ProblemKind.CONFLICT, text=fault, next="import")
        shown = _shown_once(call, plan.new)
        once = f"\nShown once:\n{shown}" if shown else ""
        done = f"{Mark.DONE}. Imported {counted(plan)}."
        return Answer(
            f"{done}{once}\nNext: {context.root} in list",
            secret=bool(shown),
            public_text=f"{done} What is shown once was sent to @{call.actor.username} directly." if shown else None,
            data=facts(plan, done=True),
            room_notes=_notes(call, steps),
        )

    return Plan(
        title=f"Import {plural(len(steps), 'hook')} ({counted(plan)})",
        effects=f"Hooks that are not in the file stay as they are.{_lost(plan)}\n{told(plan)}",
        # what is confirmed is this outcome: when a hook it is about changes meanwhile, it is asked again
        thing=Thing(kind="import", id="import", name=plural(len(steps), "hook"), version=plan.version),
        apply=apply,
        line=line,
        private={PRIVATE: text},
    )


def _lost(plan: ImportPlan) -> str:
    """Say what replaced addresses lose: removing one discards its lane (decision 43)."""
    replaced = sum(any(change.key == "urls" for change in step.changes) for step in plan.changed)
    return f" What waits for replaced addresses of {plural(replaced, 'hook')} is discarded." if replaced else ""


async def _page(call: Call, line: str) -> Answer:
    address = await call.services.of(IMPORTS).page(line)
    return Answer(
        f"{Mark.DONE}. Paste the file here (10 min, once): {address}\n"
        "It tells what would happen and changes nothing until you confirm it.\n"
        f"A short file can stand behind {call.context.root} import as a ``` block; "
        "an encrypted one goes through patchbay import on the server.",
        secret=True,
        public_text=f"{Mark.DONE}. The address of a form was sent to @{call.actor.username} directly.",
        data={"address": address},
    )


def _unfit(call: Call, plan: ImportPlan | DocumentFault, *, in_line: bool) -> Problem | None:
    """Refuse what must not stand in a room, and what one answer could not hold."""
    if not isinstance(plan, ImportPlan):
        return None
    if in_line and call.context.door.public_lines and tells_secrets(plan):
        return Problem(
            kind=ProblemKind.FORBIDDEN,
            text="The file holds secrets, and others may read this line; nothing was done. Make new ones where they "
            "came from, and delete the line if you can.",
            allowed="*** for secrets that are stored here, or the private form",
            next="import",
        )
    if sum(bool(step.made) for step in plan.new) > MOST_MADE:
        return Problem(
            kind=ProblemKind.LIMITED,
            text=f"The file makes secrets for more than {MOST_MADE} new hooks; a chat cannot show them all.",
            allowed="fewer new hooks at once, or patchbay import on the server",
            next="import",
        )
    return None


def _refused(call: Call, plan: ImportPlan | DocumentFault) -> Answer:
    if isinstance(plan, DocumentFault):
        kind, allowed = ProblemKind.INVALID, f"plain YAML as export writes it, at most {MAX_BYTES:,} bytes"
        what = f"The file cannot be imported.\nline {plan.line}: {plan.text}"
        data: dict[str, object] = {"refused": [{"line": plan.line, "text": plan.text}]}
    else:
        kind = ProblemKind.CONFLICT if plan.stale else ProblemKind.INVALID
        rest = f"\nThe rest would be: {counted(plan)}." if plan.steps else ""
        allowed = "all of the file or nothing" + ("; --overwrite for what changed since" if plan.stale else "")
        what = f"{plural(len(plan.refused), 'thing')} in the file cannot be done.\n{refusals(plan.refused)}{rest}"
        data = facts(plan)
    text = (
        f"{Mark.NOT_DONE} [{kind}]. Nothing was changed. {what}\n"
        f"Allowed: {allowed}\nNext: {call.context.root} import, with the file corrected"
    )
    return Answer(text, Mark.NOT_DONE, kind.value, data={"error": kind.value, **data})


def _shown_once(call: Call, new: Iterable[Step]) -> str:
    lines = []
    for step in new:
        made: dict[str, str] = dict(step.made)
        if isinstance(step.hook, IncomingHook) and "token" in made:
            del made["token"]
            made = {"address": call.services.of(IMPORTS).address(step.hook), **made}
        lines += [f"{one_line(step.hook.name)} ({step.hook.id}) {what}: {secret}" for what, secret in made.items()]
    return "\n".join(lines)


def _notes(call: Call, steps: Iterable[Step]) -> tuple[tuple[str, str], ...]:
    """Write for each room what the import did to the hooks that post or listen there, before or after it."""
    by_room: dict[str, list[str]] = defaultdict(list)
    for step in steps:
        keys = ", ".join(change.key for change in step.changes)
        deed = f"{kind_of(step)} {one_line(step.hook.name)} ({f'changed: {keys}' if keys else 'new'})"
        before = step.before.channels if step.before else ()
        for channel in dict.fromkeys((*before, *step.hook.channels)):
            if channel[:1] in ("#", "@"):
                by_room[channel].append(deed)
    who = inert(call.actor.username)
    return tuple((channel, f"{who} imported {inert(_named(deeds))}.") for channel, deeds in by_room.items())


def _named(deeds: list[str]) -> str:
    more = f" and {len(deeds) - MOST_NOTED:,} more" if len(deeds) > MOST_NOTED else ""
    return f"{', '.join(deeds[:MOST_NOTED])}{more}"


def _without_fence(text: str) -> str:
    """Return a document without the word a chat's code block may begin with."""
    first, _, rest = text.partition("\n")
    return rest if first.strip().lower() in ("yaml", "yml") else text


NOUN: Noun = Noun(
    name="import",
    summary="hooks from a file",
    commands=(
        Command(
            noun="import",
            verb=None,
            summary="reads hooks from a YAML file: tells what would happen, then asks",
            role=Role.ADMIN,
            writes=True,
            confirm=Confirm.BUTTON,
            shows_secret=True,
            arguments=(Argument(name=DOCUMENT, summary="the file as a ``` block; without it a form", required=False),),
            flags=(
                Flag(name=PRIVATE, summary="the file, by a form", type=ValueType.TEXT, metavar="?", secret=True),
                Flag(name="overwrite", summary="also what changed here since the file was written"),
            ),
            examples=("import", "import --overwrite"),
            run=_run,
        ),
    ),
    needs=(IMPORTS,),
)
