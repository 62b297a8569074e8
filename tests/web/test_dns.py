"""Looking names up: through the system for names every machine knows, and what names nobody answers cost others."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from bot.dns import Lookups, Resolve, Unanswered, look_up
from bot.turns import NoTurn
from storage.shares import Path


@dataclass
class Asker:
    share: Path = ("ann", "one")
    waits: bool = False


@asynccontextmanager
async def looking(resolve: Resolve = look_up, *, slots: int = 32) -> AsyncIterator[Lookups]:
    lookups = Lookups(resolve, slots=slots)
    yield lookups
    await lookups.close()


async def test_known_name_has_its_addresses() -> None:
    """A name of the hosts file resolves; many who ask at once all get the answer."""
    async with looking() as lookups:
        answers = await asyncio.gather(*(lookups.find("localhost", Asker()) for _ in range(50)))
    assert all(set(answer) & {"127.0.0.1", "::1"} for answer in answers)


@pytest.mark.parametrize("host", ["", "a" * 64 + ".invalid", "..", "\udc80"])
async def test_impossible_name_is_an_os_error(host: str) -> None:
    """What cannot be a name ends like one that does not exist."""
    async with looking() as lookups:
        with pytest.raises(OSError):  # noqa: PT011 - which one is the system's choice
            await lookups.find(host, Asker())


async def test_cancelled_look_up_leaves_the_others() -> None:
    """One who no longer waits takes nothing from those who do."""
    async with looking() as lookups:
        gone, stays = (asyncio.create_task(lookups.find("localhost", Asker())) for _ in range(2))
        await asyncio.sleep(0)
        gone.cancel()
        assert await stays


class Servers:
    """Name servers that answer for all names but those that begin with `hang`."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.back = asyncio.Event()

    async def __call__(self, host: str) -> Sequence[str]:
        self.asked.append(host)
        if host.startswith("hang"):
            await self.back.wait()
        return ["192.0.2.1"]


async def settled() -> None:
    """Let everything that can go on do so."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_names_nobody_answers_leave_slots_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one hook, and of all hooks of a creator: whoever else asks is answered at once."""
    monkeypatch.setattr("bot.dns.TURN_SECONDS", 60.0)
    servers = Servers()
    async with looking(servers) as lookups:
        hanging = [
            asyncio.create_task(lookups.find(f"hang{number}.test", Asker(("ann", f"hook{number % 4}"))))
            for number in range(200)
        ]
        await settled()
        for share in (("ann", "other"), ("bob", "one")):
            asker = Asker(share)
            assert await lookups.find(f"{share[0]}-good.test", asker) == ["192.0.2.1"]
            assert not asker.waits
        for task in hanging:
            task.cancel()
        await asyncio.gather(*hanging, return_exceptions=True)


async def test_a_slot_that_does_not_come_is_not_the_names_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waited for a slot in vain is told so, and the name is not taken for one that hangs."""
    monkeypatch.setattr("bot.dns.TURN_SECONDS", 0.05)
    servers = Servers()
    async with looking(servers, slots=1) as lookups:
        first = asyncio.create_task(lookups.find("hang.test", Asker()))
        await settled()
        asker = Asker()
        with pytest.raises(NoTurn):
            await lookups.find("good.test", asker)
        assert asker.waits
        servers.back.set()
        assert await first
        assert await lookups.find("good.test", Asker()) == ["192.0.2.1"]


async def test_a_name_that_hangs_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes no slot and no time again, until it is answered after all or a while has passed."""
    monkeypatch.setattr("bot.dns.MAX_DNS_SECONDS", 0.05)
    servers = Servers()
    async with looking(servers) as lookups:
        for _ in range(3):
            with pytest.raises(Unanswered):
                await lookups.find("hang.test", Asker())
        assert servers.asked == ["hang.test"]
        servers.back.set()
        await settled()
        assert await lookups.find("hang.test", Asker()) == ["192.0.2.1"]


async def test_a_name_that_hung_is_asked_again_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """By then its servers may be back."""
    monkeypatch.setattr("bot.dns.MAX_DNS_SECONDS", 0.05)
    monkeypatch.setattr("bot.dns.HANGING_SECONDS", 0.0)
    servers = Servers()
    async with looking(servers) as lookups:
        with pytest.raises(Unanswered):
            await lookups.find("hang.test", Asker())
        asked = asyncio.create_task(lookups.find("hang.test", Asker()))
        await settled()
        servers.back.set()
        assert await asked == ["192.0.2.1"]
        assert servers.asked == ["hang.test"]  # the first lookup still ran
