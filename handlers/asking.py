"""Write what a command asks first: confirmations, dry runs, private values (commands.md §2.5, §2.6)."""

from dataclasses import replace

from handlers.answers import warning
from handlers.command import Answer, Button, Command, CommandContext, Confirm, Form, FormField, Mark, Plan, Thing
from handlers.line import one_line, quote
from handlers.parse import Parsed, written
from handlers.slots import DRY_RUN, JSON, PUBLIC, YES, Flag

_TITLE = 24
_NEEDS = {
    Confirm.NONE: "",
    Confirm.BUTTON: " It would ask for a confirmation first.",
    Confirm.NAME: " It would ask for the name first.",
}


def dry_run(plan: Plan, needs: Confirm) -> Answer:
    """Tell what a command would do; nothing is changed, noted or audited."""
    effects = f" {plan.effects}" if plan.effects else ""
    text = f"{Mark.DONE} [dry-run]. {plan.title}.{effects}{_NEEDS[needs]} Nothing was changed."
    return Answer(text, code="dry-run", data={"title": plan.title, "effects": plan.effects, "confirm": needs.value})


def confirming(plan: Plan, needs: Confirm, code: str, context: CommandContext, *, lead: str = "") -> Answer:
    """Ask whether to do it, by button and always also by a line to type."""
    by_name = needs is Confirm.NAME and plan.thing is not None
    name = f" {quote(shown_name(plan.thing))}" if by_name and plan.thing else ""
    command = f"confirm {code}{name}"
    question = " ".join(
        filter(None, [lead, f"{plan.title}?", plan.effects, "This cannot be undone." if by_name else ""])
    )
    others = [f"{context.root} cancel {code}"]
    if plan.alternative:
        others.insert(0, f"{context.root} {plan.alternative.line} ({plan.alternative.label})")
    lines = [question, f"Type: {context.root} {command}      (5 min)", f"Or: {' · '.join(others)}"]
    yes = () if by_name else (Button(plan.title.split()[0], command, "danger"),)
    alternative = (plan.alternative,) if plan.alternative else ()
    answer = warning(
        "\n".join(lines),
        code="confirm",
        data={
            "title": plan.title,
            "effects": plan.effects,
            "code": code,
            "command": command,
            "id": plan.thing.id if plan.thing else None,
            "name": plan.thing.name if plan.thing else None,
        },
    )
    return replace(answer, buttons=(*yes, *alternative, Button("Cancel", f"cancel {code}")))


def shown_name(thing: Thing) -> str:
    """Return a name as it is shown, and may be typed back."""
    return one_line(thing.name, 200)


def asked(parsed: Parsed, context: CommandContext) -> Answer:
    """Offer a private form for secrets; one that stood in a public line is refused, and should be replaced."""
    command, names = parsed.command, (*parsed.literal, *parsed.asked)
    line = _line(parsed)
    fields = tuple(_field(command, name) for name in dict.fromkeys(names))
    form = Form(_title(command), line, fields)
    what = " and ".join(dict.fromkeys(names))
    if parsed.literal and context.door.public_lines:
        text = (
            f"{Mark.NOT_DONE} [forbidden]. A secret ({what}) does not belong into a line that others may read; "
            "nothing was done. Who saw it may use it: make a new one where it came from, and delete the line if you "
            f"can.\nNext: {context.root} {line}      (opens a private form)"
        )
        return Answer(
            text, Mark.NOT_DONE, "forbidden", form=form, burnt=True, data={"error": "forbidden", "line": line}
        )
    text = f"{Mark.WARNING} [form]. {command.words} needs {what}, given through a private form.\nForm for: {line}"
    return Answer(text, Mark.WARNING, "form", form=form, data={"line": line, "fields": [f.name for f in fields]})


def _line(parsed: Parsed) -> str:
    """Write the line the form completes, with how it is to be run."""
    kept = [f"--{name}" for name in (YES.name, DRY_RUN.name, JSON.name, PUBLIC.name) if name in parsed.controls]
    return " ".join([written(parsed.command, parsed.values), *kept])


def _field(command: Command, name: str) -> FormField:
    flag = next((flag for flag in command.flags if flag.name == name), Flag(name=name, summary=name, secret=True))
    return FormField(name, one_line(name, _TITLE), hint=flag.summary, secret=True)


def _title(command: Command) -> str:
    return command.words[:_TITLE]
