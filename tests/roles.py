"""Who may run what, written down from commands.md §2.2 and the decisions, beside the code that decides it."""

from dataclasses import dataclass
from enum import Enum
from typing import Final

ROLES: Final = ("owner", "admin", "editor", "viewer", "unlinked")
_RANKS: Final = {"viewer": 1, "editor": 2, "admin": 3, "owner": 4}


class About(Enum):
    """What a line is about, and so what else than the role decides."""

    NOTHING = "nothing in particular"
    HOOK = "a hook that is there: who manages all, and who manages own ones for an own one (decision 7)"
    HOOK_IN_ROOM = "a hook whose rooms are judged again: own ones only in rooms one is in (rocketchat.md §4.1, rule 8)"
    HOOK_RUN = "a hook that is run: with its maker's rights, so an editor's own only while they are in its room"
    ROOM_FOR_HOOK = "a room a new hook is for: rule 8 again"
    ROOM = "a private room: for others it does not exist (§2.4)"
    MESSAGE = "a message: for who is in its room (decision 59)"

    @property
    def by_owner(self) -> bool:
        """Tell whether it matters whose the object is."""
        return self in (About.HOOK, About.HOOK_IN_ROOM, About.HOOK_RUN)

    @property
    def by_room(self) -> bool:
        """Tell whether there is a room one may or may not be in."""
        return self is not About.NOTHING


@dataclass(frozen=True, slots=True)
class Row:
    """One command: a line of it, the least role, and what it answers to who may run it."""

    line: str
    least: str
    about: About = About.NOTHING
    ran: str = "ok"
    """The code of the answer; another than `ok` where the line has nothing to work on."""
    writes: bool = False
    unlinked: str = "forbidden"
    """What people without a link are answered (decision 60)."""

    def expected(self, role: str, *, own: bool, member: bool) -> str:
        """Return the code of the answer somebody gets."""
        if role == "unlinked":
            return self.unlinked
        if _RANKS[role] < _RANKS[self.least]:
            return "forbidden"
        manages_all = role in ("owner", "admin")
        if self.about.by_owner and not (manages_all or (role == "editor" and own)):
            return "unknown"  # viewers hold no permission for hooks, not even for one they once made
        if self.about in (About.HOOK_IN_ROOM, About.HOOK_RUN, About.ROOM_FOR_HOOK) and not (manages_all or member):
            return "invalid"
        if self.about in (About.ROOM, About.MESSAGE) and not member:
            return "unknown"
        return self.ran


def _hooks(noun: str) -> dict[str, Row]:
    """Return what both directions share; removing is for admins, or own ones with the own permission: editors."""
    return {
        f"{noun} list": Row(f"{noun} list", "viewer"),
        f"{noun} show": Row(f"{noun} show {{{noun}}}", "viewer", About.HOOK),
        f"{noun} edit": Row(f"{noun} edit {{{noun}}} --alias Builds", "editor", About.HOOK_IN_ROOM, writes=True),
        f"{noun} enable": Row(f"{noun} enable {{{noun}_off}}", "editor", About.HOOK, writes=True),
        f"{noun} disable": Row(f"{noun} disable {{{noun}}}", "editor", About.HOOK, writes=True),
        f"{noun} rotate-token": Row(f"{noun} rotate-token {{{noun}}}", "editor", About.HOOK, writes=True),
        f"{noun} adopt": Row(f"{noun} adopt {{{noun}}} --for @{{person}}", "admin", About.HOOK, writes=True),
        f"{noun} test": Row(f"{noun} test {{{noun}}}", "editor", About.HOOK_RUN, writes=True),
        f"{noun} history": Row(f"{noun} history {{{noun}}}", "viewer", About.HOOK),
        f"{noun} remove": Row(f"{noun} remove {{{noun}}}", "editor", About.HOOK, writes=True),
    }


TABLE: Final[dict[str, Row]] = {
    **_hooks("in"),
    **_hooks("out"),
    "in add": Row("in add {new} --room #{room}", "editor", About.ROOM_FOR_HOOK, writes=True),
    "in preview": Row("in preview slack sample", "viewer"),
    "in replay": Row("in replay {in} {request}", "editor", About.HOOK_RUN, writes=True),
    "out add": Row(
        "out add {new} --event sendMessage --room #{room} --url {url}", "editor", About.ROOM_FOR_HOOK, writes=True
    ),
    "out preview": Row("out preview {out} --text '!never mind'", "viewer", About.HOOK),
    "out replay": Row("out replay {out} {call}", "editor", About.HOOK_RUN, writes=True),
    "list": Row("list", "viewer"),
    "mute": Row("mute 1h {in}", "editor", About.HOOK, writes=True),
    "delivery list": Row("delivery list --out {dying}", "viewer", About.HOOK),
    "delivery show": Row("delivery show {letter}", "viewer", About.HOOK),
    "delivery retry": Row("delivery retry {letter}", "editor", About.HOOK, writes=True),
    "dead list": Row("dead list --out {dying}", "viewer", About.HOOK),
    "dead retry": Row("dead retry {letter}", "editor", About.HOOK, writes=True),
    "dead discard": Row("dead discard {letter}", "editor", About.HOOK, writes=True),
    "room list": Row("room list", "viewer"),
    "room show": Row("room show #{room}", "viewer", About.ROOM),
    "room hooks": Row("room hooks #{room}", "viewer", About.ROOM),
    "room create": Row("room create {new}", "editor", writes=True),
    "room archive": Row("room archive #{room}", "admin", About.ROOM, writes=True),
    "room retention": Row("room retention #{room} --keep-last 10000", "admin", About.ROOM, writes=True),
    "room mute": Row("room mute {out} --for 1h", "editor", About.HOOK, writes=True),
    "why": Row("why {message}", "viewer", About.MESSAGE),
    "status": Row("status", "viewer"),
    "help": Row("help", "viewer", unlinked="ok"),
    "whoami": Row("whoami", "viewer", unlinked="ok"),
    "audit": Row("audit", "admin"),
    "export": Row("export", "admin", writes=True),
    "import": Row("import ```{document}```", "admin", writes=True),
    "confirm": Row("confirm ACDEFG", "viewer", ran="unknown"),
    "cancel": Row("cancel", "viewer", ran="unknown"),
    "undo": Row("undo", "viewer", ran="expired"),
    "user list": Row("user list", "admin"),
    "user show": Row("user show @{person}", "admin"),
    "user invite": Row("user invite {new}", "admin", writes=True),
    "user role": Row("user role @{person} viewer", "admin", writes=True),
    "user disable": Row("user disable @{person}", "admin", writes=True),
    "user enable": Row("user enable @{sleeper}", "admin", writes=True),
    "user grant": Row("user grant @{person} message-impersonate", "admin", writes=True),
    "user deny": Row("user deny @{person} create-personal-access-tokens", "admin", writes=True),
    "user accept": Row("user accept --password long-enough-to-be-one", "viewer", ran="conflict"),
    "user link": Row("user link", "viewer", writes=True, unlinked="usage"),
    "user unlink": Row("user unlink", "viewer", writes=True),
}
"""Every command there is; a new one without a row fails the test."""
