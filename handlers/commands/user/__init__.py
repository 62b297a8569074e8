"""`user`: people, their roles, and their accounts in other chats (commands.md §2.2)."""

from handlers.command import Noun
from handlers.commands.user import granting, inviting, linking, looking, ruling
from handlers.people import LINKS, USERS

NOUN: Noun = Noun(
    name="user",
    summary="people, their roles and linked accounts",
    aliases=("users",),
    commands=(*looking.COMMANDS, *inviting.COMMANDS, *ruling.COMMANDS, *granting.COMMANDS, *linking.COMMANDS),
    needs=(USERS, LINKS),
)
