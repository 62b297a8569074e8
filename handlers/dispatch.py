"""Run a typed line: the one entry for every door (Rocket.Chat, later Slack, Mattermost and terminal)."""

from dataclasses import replace

from handlers.answers import as_json, not_done
from handlers.command import Answer, Audience, Call, Command, CommandContext, Commands, Given, Values
from handlers.line import Problem, ProblemKind, Span
from handlers.listing import NOUNS, REFERENCE, ambiguous
from handlers.parse import Parsed, Reading, Unnamed, parse
from handlers.references import resolve
from storage.records.integration import direction


async def execute(line: str, context: CommandContext, commands: Commands) -> Answer:
    """Answer a line without its root.

    No input raises; a storage error does, since the door alone knows how to say that the server is unwell.
    """
    parsed: Parsed | Unnamed | Problem = parse(
        line,
        Reading(
            commands,
            permits=lambda command: command.allows(context.actor, context.permissions),
            now=context.now,
            zone=context.zone,
        ),
    )
    if isinstance(parsed, Unnamed):
        parsed = await _referred(parsed, context, commands)
    result = await _run(parsed, context, commands) if isinstance(parsed, Parsed) else parsed
    if isinstance(result, Problem):
        secret = tuple(flag.name for command in commands for flag in command.flags if flag.secret)
        result = not_done(result, line=line, root=context.root, secret_flags=secret)
    if isinstance(parsed, Parsed):
        result = replace(result, private=parsed.command.audience is not Audience.ROOM)
        return replace(result, text=as_json(result)) if parsed.as_json else result
    return result


async def _run(parsed: Parsed, context: CommandContext, commands: Commands) -> Answer | Problem:
    command = parsed.command
    if not command.allows(context.actor, context.permissions):
        return await _forbidden(command, context)
    return await command.run(Call(context, commands, command, parsed.values))


async def _forbidden(command: Command, context: CommandContext) -> Problem:
    """Name the role needed and who has it here (commands.md §2.4)."""
    holders = ", ".join(f"@{name}" for name in await context.services.holders(command.role))
    who = f" Those with that role here: {holders}." if holders else ""
    return Problem(
        kind=ProblemKind.FORBIDDEN,
        text=f'"{command.words}" needs {command.role}; you are {context.actor.role}.{who}',
    )


async def _referred(unnamed: Unnamed, context: CommandContext, commands: Commands) -> Parsed | Problem:
    """Read a lone word that is no command as a reference to show (decision 58)."""
    found = resolve(unnamed.reference, await context.services.hooks()).things
    span = unnamed.problem.span or Span(0, len(unnamed.reference))
    if len(found) > 1:
        return ambiguous(unnamed.reference, found, span, "in show ID")
    show = commands.find(NOUNS[direction(found[0])], "show") if found else None
    if show is None:
        return unnamed.problem
    return Parsed(show, Values({REFERENCE: Given(found[0].id, (found[0].id,), span)}))
