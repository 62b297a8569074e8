"""Whose request it is: forwarded addresses count only as far as trusted proxies vouch for them (decision 27)."""

from ipaddress import ip_network

import pytest
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from bot.web.client import client_address, counted_address

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


COUNTED = [
    ("203.0.113.9", "203.0.113.9"),
    ("::ffff:203.0.113.9", "203.0.113.9"),
    ("2001:db8:1:2::7", "2001:db8:1:2::/64"),
    ("2001:db8:1:2:ffff:ffff:ffff:ffff", "2001:db8:1:2::/64"),
    ("2001:0DB8:0001:0002::7", "2001:db8:1:2::/64"),
    ("2001:db8:1:3::7", "2001:db8:1:3::/64"),
    ("fe80::1%eth0", "fe80::/64"),
    ("::1", "::/64"),
    ("", ""),
]


@pytest.mark.parametrize(("remote", "counted"), COUNTED)
def test_a_subscriber_counts_once(remote: str, counted: str) -> None:
    """Whoever has an IPv6 network of their own does not get a fresh limit with each of its addresses."""
    request = make_mocked_request("GET", "/").clone(remote=remote)
    assert counted_address(request, ()) == counted


def test_a_forwarded_address_counts_by_its_network_too() -> None:
    """What a trusted proxy tells is counted like what connects itself."""
    headers = {"X-Forwarded-For": "2001:db8:1:2:3:4:5:6"}
    request = make_mocked_request("GET", "/", headers=headers).clone(remote="10.0.0.1")
    assert counted_address(request, PROXIES) == "2001:db8:1:2::/64"
