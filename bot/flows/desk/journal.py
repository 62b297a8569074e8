"""Where commands write proposals, undo, and effects that have no transaction of their own."""

from bot.flows.desks import Caller, Desk, Kit
from handlers.services import JOURNAL, Journal


def _make(kit: Kit, _: Caller) -> Journal:
    return kit.store


DESK: Desk = Desk(JOURNAL, _make)
