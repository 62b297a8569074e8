"""Write the declarations out: as Markdown for people and as JSON for programs (commands.md §2.9)."""

from collections.abc import Mapping, Sequence
from typing import Final

from handlers.command import Command, Commands, Confirm, Noun
from handlers.slots import Argument, Flag, Slot
from handlers.values import ValueType

BEGIN: Final = "<!-- commands: begin -->"
END: Final = "<!-- commands: end -->"
"""The README's reference stands between these two lines; a test compares it."""

_CONFIRM: Final = {Confirm.NONE: "–", Confirm.BUTTON: "button or code", Confirm.NAME: "type the name"}
_TYPES: Final[Mapping[ValueType, dict[str, object]]] = {
    ValueType.SWITCH: {"type": "boolean"},
    ValueType.NUMBER: {"type": "integer", "minimum": 1},
}


def reference(commands: Commands) -> str:
    """Return the reference of all commands as Markdown: one table a noun, one for the words without verbs."""
    words = [noun.word for noun in commands.nouns if noun.word]
    nouns = [_table(_head(noun), noun.commands) for noun in commands.nouns if not noun.word]
    return "\n\n".join([*nouns, _table("**Words that need no verb**", words)]) + "\n"


def schema(commands: Commands) -> dict[str, object]:
    """Return a JSON schema of every command's values, by the words that name it."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Patchbay commands",
        "type": "object",
        "properties": {command.words: _schema(command) for command in commands},
        "additionalProperties": False,
    }


def _head(noun: Noun) -> str:
    also = f" (also {', '.join(f'`{alias}`' for alias in noun.aliases)})" if noun.aliases else ""
    return f"**`{noun.name}`**{also}: {noun.summary}"


def _table(head: str, commands: Sequence[Command]) -> str:
    columns = ["| Command | What | Least role | Answer | Confirmation |", "|---|---|---|---|---|"]
    return "\n".join([head, "", *columns, *map(_row, commands)])


def _row(command: Command) -> str:
    confirm = _CONFIRM[command.confirm]
    if command.confirm_when:
        asked = _CONFIRM[Confirm.BUTTON] if command.confirm is Confirm.NONE else confirm
        confirm = f"{asked} ({command.confirm_when})"
    role = "anybody" if command.unlinked else command.role.value
    usage = command.usage.replace("|", "\\|")
    return f"| `{usage}` | {command.summary} | {role} | {command.audience.value} | {confirm} |"


def _schema(command: Command) -> dict[str, object]:
    slots: Sequence[Slot] = (*command.arguments, *command.flags, *command.controls)
    found: dict[str, object] = {
        "type": "object",
        "description": command.summary,
        "properties": {slot.name: _slot(slot) for slot in slots},
        "required": [slot.name for slot in slots if slot.required],
        "additionalProperties": {"type": "string"} if command.pairs else False,
        "x-role": command.role.value,
        "x-audience": command.audience.value,
        "x-confirmation": command.confirm.name.lower(),
        "x-writes": command.writes,
        "examples": list(command.examples),
    }
    if command.confirm_when:
        found["x-confirmation-when"] = command.confirm_when
    return found


def _slot(slot: Slot) -> dict[str, object]:
    word: dict[str, object] = {"type": "string", "enum": list(slot.choices)} if slot.choices else {"type": "string"}
    many = slot.type is ValueType.LIST or (isinstance(slot, Argument) and slot.repeated)
    found: dict[str, object] = {"type": "array", "items": word} if many else {**word, **_TYPES.get(slot.type, {})}
    found["description"] = slot.summary
    if slot.type not in (*_TYPES, ValueType.TEXT, ValueType.LIST):
        found["x-takes"] = slot.type.value
    if isinstance(slot, Flag) and slot.secret:
        found["writeOnly"] = True
    return found
