"""`user link` and `user unlink`: accounts of other chats bound to whoever they belong to (decision 60)."""

from dataclasses import replace

from handlers.answers import done
from handlers.command import Answer, Call, Command, Plan, Thing
from handlers.line import Problem, ProblemKind, one_line
from handlers.people import LINKS, Account, account_in_words, find_user
from handlers.references import resolve
from handlers.slots import Argument, Flag
from handlers.values import ValueType
from storage.records.changes import Changes
from storage.records.user import Role, User

_CODE = Argument(name="CODE", summary="typed in the other chat: the code made here", required=False)
_ACCOUNT = Argument(
    name="ACCOUNT",
    summary="the other chat's name, the account's id, or a row of `whoami`; this account unless given",
    type=ValueType.REFERENCE,
    required=False,
    offers="accounts",
)
_OF = Flag(name="user", summary="somebody else's account; needs admin", type=ValueType.USER, metavar="@USER")


async def _link(call: Call) -> Plan | Problem:
    return _make(call) if call.values.text(_CODE.name) is None else await _redeem(call)


def _make(call: Call) -> Plan | Problem:
    context = call.context
    if context.unlinked:
        return Problem(
            kind=ProblemKind.USAGE,
            text="The code is missing. Somebody who is signed in to Patchbay makes one there, for their own account.",
            allowed="user link CODE",
            next=f"user link CODE, once `{context.root} user link` has given you one in Patchbay",
        )

    async def apply(also: Changes) -> Answer | Problem:
        chats = await call.services.of(LINKS).chats()
        if not chats:
            text = "No other chat is connected to Patchbay yet, so there is nothing to link."
            allowed = "whoever runs the server connects one: patchbay workspace add"
            return Problem(kind=ProblemKind.UNAVAILABLE, text=text, allowed=allowed, next="whoami")
        code = await call.services.of(LINKS).make_code(also)
        names = ", ".join(f"{one_line(chat.name)} ({chat.system})" for chat in chats)
        text = (
            f"Your code is {code}; it works once, for 10 min.\n"
            f"Type in the other chat: /hook user link {code}      (with a trigger word: !hook user link {code})\n"
            f"Connected: {names}\nNext: {context.root} whoami"
        )
        public = f"The code was sent to @{call.actor.username} directly."
        return replace(done(text, data={"code": code}), secret=True, public_text=public)

    thing = Thing(kind="user", id=call.actor.id, name=call.actor.username)
    return Plan(title="Make a code that links an account of another chat to you", thing=thing, apply=apply)


async def _redeem(call: Call) -> Plan | Problem:
    desk, context = call.services.of(LINKS), call.context
    here = await desk.here()
    if here is None or context.sender is None:
        return Problem(
            kind=ProblemKind.USAGE,
            text="A code is typed in the other chat, the one to be linked; this is Patchbay itself.",
            allowed="the same line in the other chat",
            next="user link, for a code of your own",
        )

    async def apply(also: Changes) -> Answer | Problem:
        user = await desk.redeem(call.values.text(_CODE.name) or "", also)
        if isinstance(user, Problem):
            return user
        text = f"Your account of {one_line(here.name)} is linked: here you are @{user.username} ({user.role})."
        return done(f"{text}\nNext: {context.root} whoami", data={"username": user.username, "role": user.role.value})

    _, external_id = context.sender
    return Plan(
        title=f"Link your account of {one_line(here.name)}",
        thing=Thing(kind="account", id=":".join(context.sender), name=external_id),
        line="user link ***",
        apply=apply,
    )


async def _unlink(call: Call) -> Plan | Problem:
    desk = call.services.of(LINKS)
    whose = await _whose(call)
    if isinstance(whose, Problem):
        return whose
    account = await _account(call, whose)
    if isinstance(account, Problem):
        return account

    async def apply(also: Changes) -> Answer | Problem:
        if not await desk.unlink(whose, account, also):
            return Problem(kind=ProblemKind.CONFLICT, text="This account is not linked any more.", next="whoami")
        text = f"{account_in_words(account)} is not linked to @{whose.username} any more."
        return done(f"{text}\nNext: {call.context.root} user link, for a new code", data={"id": account.id})

    return Plan(
        title=f"Unlink {account_in_words(account)} from @{whose.username}",
        effects="Whoever types there is then nobody here.",
        thing=Thing(kind="account", id=account.id, name=account.external_id),
        apply=apply,
    )


async def _whose(call: Call) -> User | Problem:
    named = call.values.text(_OF.name)
    if named is None or named.removeprefix("@").casefold() == call.actor.username.casefold():
        return call.actor
    if not call.actor.role.at_least(Role.ADMIN):
        text = f"Unlinking accounts of others needs admin; you are {call.actor.role}."
        return Problem(
            kind=ProblemKind.FORBIDDEN,
            text=text,
            span=call.values.span(_OF.name),
            allowed="your own accounts",
            next="whoami",
        )
    return await find_user(call, _OF.name, whole=True)


async def _account(call: Call, whose: User) -> Account | Problem:
    """Return the account that is meant: by name or id, else the one typed from, else the only one."""
    accounts = await call.services.of(LINKS).accounts(whose.id)
    reference = call.values.text(_ACCOUNT.name)
    if reference is None:
        sender = call.context.sender
        found = [one for one in accounts if sender == (one.workspace_id, one.external_id)] or list(accounts)
    else:
        found = [one for one in accounts if one.external_id == reference] or list(resolve(reference, accounts).things)
    if len(found) == 1:
        return found[0]
    known = "; ".join(f"{account_in_words(one)}: {one.id}" for one in accounts)
    if not accounts:
        text = f"No account of another chat is linked to @{whose.username}."
    elif found:
        text = f"@{whose.username} has several linked accounts; say which."
    else:
        text = f'There is no linked account "{one_line(reference or "")}".'
    return Problem(
        kind=ProblemKind.AMBIGUOUS if found else ProblemKind.UNKNOWN,
        text=text,
        span=call.values.span(_ACCOUNT.name),
        allowed=known or "an account that was linked by a code",
        next="user unlink ID" if found else "whoami" if whose is call.actor else f"user show @{whose.username}",
    )


COMMANDS = (
    Command(
        noun="user",
        verb="link",
        summary="makes a code for you; with CODE, typed in another chat, links that account to you",
        role=Role.VIEWER,
        unlinked=True,
        writes=True,
        shows_secret=True,
        arguments=(_CODE,),
        examples=("user link", "user link K7M4QX2P"),
        run=_link,
    ),
    Command(
        noun="user",
        verb="unlink",
        summary="unlinks an account of another chat",
        role=Role.VIEWER,
        writes=True,
        arguments=(_ACCOUNT,),
        flags=(_OF,),
        examples=("user unlink", "user unlink acme-slack", "user unlink acme-slack --user @bob"),
        run=_unlink,
    ),
)
