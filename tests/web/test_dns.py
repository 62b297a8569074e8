"""Tests of the system resolver through names that every machine knows."""

import asyncio

import pytest

from bot.dns import SystemResolver


async def test_known_name_has_its_addresses() -> None:
    """A name of the hosts file resolves; many who ask at once all get the answer."""
    resolver = SystemResolver()
    answers = await asyncio.gather(*(resolver("localhost") for _ in range(50)))
    await resolver.close()
    assert all(set(answer) & {"127.0.0.1", "::1"} for answer in answers)


@pytest.mark.parametrize("host", ["", "a" * 64 + ".invalid", "..", "\udc80"])
async def test_impossible_name_is_an_os_error(host: str) -> None:
    """What cannot be a name ends like one that does not exist."""
    resolver = SystemResolver()
    with pytest.raises(OSError):  # noqa: PT011 - which one is the system's choice
        await resolver(host)
    await resolver.close()


async def test_cancelled_look_up_leaves_the_others() -> None:
    """One who no longer waits takes nothing from those who do."""
    resolver = SystemResolver()
    gone, stays = (asyncio.create_task(resolver("localhost")) for _ in range(2))
    await asyncio.sleep(0)
    gone.cancel()
    assert await stays
    await resolver.close()
