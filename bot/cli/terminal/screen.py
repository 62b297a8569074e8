"""What a reply looks like in a terminal: plain text that no terminal acts on, buttons as the lines they run."""

import re

from bot.cli.terminal.client import Reply
from handlers.roots import SHORT, meant

_FENCE = re.compile(r"```\w*")
DONE, NOT_DONE, USAGE, CONFIRM = 0, 1, 2, 3
"""Exit codes of a single line: done, not done, wrong usage, a confirmation is needed."""

ROOTS = ("/hook", "/integrations", "!hook")
"""What people have in their fingers from other chats; here every line is a command."""


def shown(reply: Reply, root: str = "") -> str:
    """Write a reply; `root` stands before the line of each button."""
    lines = [clean(reply.text)]
    if reply.buttons:
        width = max(len(_line(offer.line, root)) for offer in reply.buttons)
        lines += ["", *(f"  {_line(offer.line, root):<{width}}   {clean(offer.label)}" for offer in reply.buttons)]
    return "\n".join(lines)


def clean(text: str) -> str:
    """Drop the fences of code blocks, and whatever would move the cursor or change colours (security.md §4)."""
    lines = (line for line in text.splitlines() if not _FENCE.fullmatch(line.strip()))
    return "\n".join("".join(sign if sign.isprintable() else "?" for sign in line) for line in lines)


def exit_code(reply: Reply) -> int:
    """Return what a script is told."""
    if reply.code == "confirm":
        return CONFIRM
    if reply.code == "usage":
        return USAGE
    return NOT_DONE if reply.mark == "Not done" or reply.form is not None else DONE


def without_root(typed: str) -> str:
    """Return a line without the word it begins with in other chats; `/why` and `/deliveries` say their command."""
    line = typed.strip()
    first, _, rest = line.partition(" ")
    if first.lower() in ROOTS:
        return rest.strip()
    return meant(first, rest)[1].strip() if first[:1] in ("/", "!") and first[1:].lower() in SHORT else line


def _line(line: str, root: str) -> str:
    return clean(f"{root} {line}" if root else line)
