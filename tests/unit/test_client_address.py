"""Whose request it is: forwarded addresses count only as far as trusted proxies vouch for them (decision 27)."""

from ipaddress import ip_network

import pytest
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from bot.web.client import client_address

PROXIES = tuple(map(ip_network, ("10.0.0.0/8", "fd00::/8")))

CASES: list[tuple[str, list[str], str]] = [
    # who connects, the X-Forwarded-For headers, whose request it is
    ("203.0.113.9", [], "203.0.113.9"),
    ("203.0.113.9", ["198.51.100.1"], "203.0.113.9"),
    ("10.0.0.1", [], "10.0.0.1"),
    ("10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
    ("10.0.0.1", ["1.1.1.1, 198.51.100.1"], "198.51.100.1"),
    ("10.0.0.1", ["1.1.1.1, 198.51.100.1, 10.0.0.2"], "198.51.100.1"),
    ("10.0.0.1", ["1.1.1.1", "198.51.100.1,10.0.0.2"], "198.51.100.1"),
    ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
    ("10.0.0.1", ["127.0.0.1, 198.51.100.1"], "198.51.100.1"),
    ("10.0.0.1", ["198.51.100.1, unknown"], "10.0.0.1"),
    ("10.0.0.1", ["198.51.100.1, 10.0.0.2, \u001b[31m"], "10.0.0.1"),
    ("10.0.0.1", ["1.1.1.1, unknown, 198.51.100.1"], "198.51.100.1"),
    ("10.0.0.1", [" , ,"], "10.0.0.1"),
    ("10.0.0.1", ["2001:db8::7"], "2001:db8::7"),
    ("fd00::1", ["198.51.100.1"], "198.51.100.1"),
    ("::ffff:10.0.0.1", ["198.51.100.1"], "::ffff:10.0.0.1"),
]


@pytest.mark.parametrize(("remote", "forwarded", "client"), CASES)
def test_the_right_most_hop_no_proxy_of_ours_made(remote: str, forwarded: list[str], client: str) -> None:
    """What a client wrote into the header itself never counts; what is no address ends the chain."""
    headers = CIMultiDict([("X-Forwarded-For", value) for value in forwarded])
    request = make_mocked_request("GET", "/", headers=headers).clone(remote=remote)
    assert client_address(request, PROXIES) == client


def test_without_trusted_proxies_the_header_is_nothing() -> None:
    """By default nobody is believed, not even the loopback."""
    request = make_mocked_request("GET", "/", headers={"X-Forwarded-For": "198.51.100.1"}).clone(remote="127.0.0.1")
    assert client_address(request, ()) == "127.0.0.1"
