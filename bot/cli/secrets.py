"""Secrets enter by standard input, file or prompt; an argument would stand in every process list."""

import sys
from collections.abc import Callable
from typing import IO, Any

import click

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]  # Any: commands of every signature are decorated

password_stdin_option = click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")


def secret_file_option(name: str, what: str) -> Decorator:
    """Declare an option that takes a file, or `-` for standard input."""
    return click.option(name, type=click.File("r", encoding="utf-8"), help=f"File with {what}; - is standard input.")


def read_secret(file: IO[str], what: str) -> str:
    """Return the one line of a file."""
    try:
        lines = file.read(64 * 1024).splitlines()
    except UnicodeDecodeError as error:
        raise click.UsageError(f"The {what} is not UTF-8 text.") from error
    if len(lines) != 1 or not lines[0]:
        raise click.UsageError(f"The {what} must be one line; there are {len(lines)}.")
    return lines[0]


def stdin_password() -> str:
    """Return the password that was sent to standard input."""
    return read_secret(sys.stdin, "password")


def ask(what: str, instead: str) -> str:
    """Ask for a secret at the terminal, twice; `instead` names the option for scripts."""
    if not sys.stdin.isatty():
        raise click.UsageError(f"There is no terminal to ask for the {what.lower()} at; use {instead}.")
    answer: str = click.prompt(what, hide_input=True, confirmation_prompt=True, err=True)
    return answer
