"""`whoami`: who the caller is here, and how somebody who is nobody yet gets linked (commands.md §2.2, decision 60)."""

from handlers.command import Answer, Call, Command, Noun, Unlinked
from handlers.line import one_line
from handlers.people import LINKS, USERS, account_in_words, rights_in_words, rooms_in_words
from storage.records.user import Role


async def _run(call: Call) -> Answer:
    if call.context.unlinked:
        return await _nobody(call, call.context.unlinked)
    user, root = call.actor, call.context.root
    accounts = await call.services.of(LINKS).accounts(user.id)
    facts = {
        "id": user.id,
        "full name": one_line(user.name, 100),
        "role": user.role.value,
        "may": "; ".join(rights_in_words(user.role, call.context.permissions)),
        "rooms": rooms_in_words(await call.services.of(USERS).rooms(user)),
    }
    lines = [f"{name}: {value}" for name, value in facts.items()]
    if accounts:
        lines += ["linked accounts:", *(f"#{row} {account_in_words(each)}" for row, each in enumerate(accounts, 1))]
        following = f"{root} user unlink #1 · {root} user link"
    else:
        lines.append("linked accounts: none")
        following = f"{root} user link · {root} help"
    text = "\n".join([f"You are @{user.username}", *lines, f"Next: {following}"])
    linked = [{"id": each.id, "chat": each.name, "account": each.external_id} for each in accounts]
    return Answer(
        text, data={"username": user.username, **facts, "accounts": linked}, rows=tuple(each.id for each in accounts)
    )


async def _nobody(call: Call, who: Unlinked) -> Answer:
    """Tell somebody who is not linked what they are, and the two steps to become somebody."""
    here = await call.services.of(LINKS).here()
    chat = f"{one_line(here.name)} ({here.system})" if here else "this chat"
    called = f"{one_line(who.name)} ({who.external_id})" if who.name else who.external_id
    may = "look as viewers do, help, whoami, user link CODE" if who.viewer else "help, whoami, user link CODE"
    text = (
        f"You are {called} of {chat}; nobody here is linked to that account.\n"
        f"may: {may}\n"
        "To link it: where you are signed in to Patchbay, type /hook user link; it gives you a code.\n"
        f"Next: {call.context.root} user link CODE, here, within 10 min"
    )
    data = {"linked": False, "id": who.external_id, "name": who.name, "chat": here.name if here else None}
    return Answer(text, data=data)


NOUN: Noun = Noun(
    name="whoami",
    summary="who you are here",
    commands=(
        Command(
            noun="whoami",
            verb=None,
            summary="shows your user, role, rights, rooms and linked accounts",
            role=Role.VIEWER,
            unlinked=True,
            examples=("whoami",),
            run=_run,
        ),
    ),
    needs=(USERS, LINKS),
)
