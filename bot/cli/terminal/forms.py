"""Ask at the terminal for what a form wants to know; what is secret is not shown while it is typed."""

from prompt_toolkit import PromptSession
from prompt_toolkit.output import create_output
from prompt_toolkit.validation import Validator

from bot.cli.terminal.client import Asked, PrivateForm
from bot.cli.terminal.screen import clean

_FILLED = Validator.from_callable(lambda text: bool(text.strip()), error_message="This one is needed; Ctrl-C gives up.")


async def fill_in(form: PrivateForm) -> dict[str, str] | None:
    """Return the values typed, or None when the person gave up (Ctrl-C, Ctrl-D)."""
    output = create_output(always_prefer_tty=True)  # standard output may be a script's
    output.write(f"{clean(form.title)} (Ctrl-C gives up)\n")
    output.flush()
    values: dict[str, str] = {}
    for field in form.fields:
        # a session of its own: what is typed here must not reach the history of lines
        session: PromptSession[str] = PromptSession(output=output)
        try:
            typed = await session.prompt_async(
                _question(field),
                is_password=field.secret,
                validator=_FILLED if field.required else None,
                validate_while_typing=False,
            )
        except (KeyboardInterrupt, EOFError):
            return None
        if typed.strip():
            values[field.name] = typed
    return values


def _question(field: Asked) -> str:
    more = "; ".join(filter(None, [field.hint, "" if field.required else "may stay empty"]))
    return clean(f"{field.label} ({more}): " if more else f"{field.label}: ")
