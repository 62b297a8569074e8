"""The command line: serve, and everything an operator does beside a running server.

Exit codes a script can rely on: 0 done, 1 refused or failed (one sentence on standard error), 2 wrong usage.
"""

import click

from bot.cli.config import config
from bot.cli.db import db
from bot.cli.exports import export, import_
from bot.cli.hooks import hook
from bot.cli.keys import keys
from bot.cli.rocketchat_app import rocketchat_app
from bot.cli.serve import serve
from bot.cli.terminal.chat import chat
from bot.cli.tokens import token
from bot.cli.users import user
from bot.cli.workspaces import workspace


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="patchbay")
def cli() -> None:
    """Patchbay: tools post in, rooms show it, webhooks fire out, nothing gets lost.

    Commands work on the data folder with the owner's rights, also while the server runs; only `chat` and
    `hook LINE` speak to a running server, as the person whose token they have.
    Exit codes: 0 done, 1 refused or failed, 2 wrong usage.
    """


for command in (serve, chat, user, token, hook, workspace, export, import_, keys, db, config, rocketchat_app):
    cli.add_command(command)
