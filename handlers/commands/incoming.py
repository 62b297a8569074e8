"""`in`: the hooks that tools post to."""

from handlers.command import CommandContext, Noun
from handlers.listing import Wording, hook_noun
from storage.records.integration import Direction, Hook, IncomingHook


def _place(hook: Hook) -> str:
    return ", ".join(hook.channels)


def _what(hook: Hook) -> str:
    return f"posts as {hook.username}"


def _facts(hook: Hook) -> list[tuple[str, str]]:
    if not isinstance(hook, IncomingHook):
        return []
    return [
        ("posts as", hook.username),
        ("format", hook.format),
        ("signature", "checked" if hook.secret else "not checked"),
        ("duplicates", hook.dedup),
        ("sender may choose the room", "yes" if hook.override_destination else "no"),
    ]


async def _effects(_: CommandContext, hook: Hook) -> str:
    return f"Its address stops working at once; {_place(hook)} gets nothing from it any more."


NOUN: Noun = hook_noun(
    Wording(
        way=Direction.INCOMING,
        one="incoming hook",
        aliases=("incoming", "hook"),
        place=_place,
        what=_what,
        facts=_facts,
        effects=_effects,
    )
)
