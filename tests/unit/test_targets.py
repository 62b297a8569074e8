"""Tests of the table of public and private addresses, the allow list and the check of written addresses."""

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.http import Refused, sendable_headers
from handlers.targets import (
    ADDRESS_REFUSED,
    AllowList,
    InvalidAllowList,
    Target,
    callable_addresses,
    judge_address,
    judge_url,
    parse_url,
)
from tests.addresses import AddressCase, cases, name_of

CASES = [case.at(8080) for case in cases()]
NOTHING = AllowList()


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_written_address_gets_its_verdict(case: AddressCase) -> None:
    """A literal or localhost the guard refuses is refused when written, a name only when dialled."""
    verdict = judge_url(case.url, AllowList.parse(case.allow))
    if case.write == "taken":
        assert isinstance(verdict, Target)
    else:
        assert isinstance(verdict, Refused)
        assert (verdict == ADDRESS_REFUSED) is (case.write == "refused")


@pytest.mark.parametrize("case", [case for case in CASES if case.write != "malformed"], ids=name_of)
def test_dialled_address_gets_its_verdict(case: AddressCase) -> None:
    """Each address a host stands for is judged, whatever form it is written in."""
    target = parse_url(case.url)
    assert isinstance(target, Target)
    allow = AllowList.parse(case.allow)
    if target.literals:
        allowed = any(callable_addresses(target, allow))
    else:
        found = [ip_address(address.partition("%")[0]) for address in case.resolves]
        allowed = all(judge_address(each, target.port, target.host, allow) is None for each in found)
    assert allowed is (case.dial == "allowed")


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("169.254.169.254", "metadata"),
        ("64:ff9b::a9fe:a9fe", "metadata"),
        ("169.254.1.1", "link-local"),
        ("::ffff:127.0.0.1", "loopback"),
        ("::1", "loopback"),
        ("::", "unspecified"),
        ("5f00::1", "reserved"),
        ("2002:7f00:1::", "6to4"),
    ],
)
def test_reason_names_the_kind_of_network(address: str, reason: str) -> None:
    """The reason for logs says what the address is, after unwrapping."""
    assert judge_address(ip_address(address), 80, "hooks.example", NOTHING) == reason


def test_refusal_names_the_setting() -> None:
    """Who is refused learns which setting opens a private address."""
    assert "PATCHBAY_ALLOW_TARGETS" in ADDRESS_REFUSED.message


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("HTTPS://Hooks.Example./In?Q=%41&b=a b#part", "https://hooks.example:443/In?Q=%41&b=a%20b"),
        ("http://hooks.example", "http://hooks.example:80/"),
        ("http://hooks.example?x", "http://hooks.example:80/?x"),
        ("http://hooks.example:8080/ä/../%2e?ö", "http://hooks.example:8080/%C3%A4/../%2e?%C3%B6"),
        ("http://a_b.example/a|b", "http://a_b.example:80/a|b"),
        ("http://[2606:4700:0::1111]/", "http://[2606:4700::1111]:80/"),
        ("http://hooks.example:/", "http://hooks.example:80/"),
    ],
)
def test_address_is_called_as_it_was_read(text: str, url: str) -> None:
    """The client gets the parts the check saw, so a second parser has nothing left to read differently."""
    target = parse_url(text)
    assert isinstance(target, Target)
    assert target.url == url


def test_target_keeps_its_path_out_of_repr() -> None:
    """Paths carry keys, so a target in a log line shows none."""
    assert "s3cret" not in repr(parse_url("http://hooks.example/s3cret?key=s3cret"))


@given(st.text(), st.sampled_from(["", "http://", "https://[", "http://127.0.0.1"]))
def test_any_text_gets_a_verdict(text: str, start: str) -> None:
    """No text makes the check itself fail."""
    assert isinstance(judge_url(start + text, NOTHING), Target | Refused)


@given(st.ip_addresses())
def test_any_address_gets_the_same_verdict_from_every_disguise(address: object) -> None:
    """What may be called in IPv4 may be called mapped or through NAT64, and nothing else."""
    plain = ip_address(str(address))
    verdict = judge_address(plain, 80, "hooks.example", NOTHING)
    if plain.version == 4:
        for prefix in ("::ffff:", "64:ff9b::"):
            assert judge_address(ip_address(prefix + str(plain)), 80, "hooks.example", NOTHING) == verdict


@pytest.mark.parametrize(
    "entry",
    [
        "0.0.0.0/0",
        "::/0",
        "[::/0]:443",
        "0.0.0.0/0:80",
        "::ffff:0:0/96",
        "0.0.0.0/1",
        "128.0.0.0/1",
        "10.0.0.0/7",
        "::/1",
        "[8000::/1]:443",
        "fc00::/15",
        "::ffff:128.0.0.0/97",
        "::1:80",
        "fd00::1:8080",
        "10.1.2.3/8",
        "10.0.0.0/33",
        "10.0.0",
        "127.1",
        "2130706433",
        "0x7f000001",
        "256.1.1.1",
        "*",
        "*.example",
        "hooks.example:",
        "hooks.example:0",
        "hooks.example:65536",
        "hooks.example:http",
        "hooks.example:80:80",
        "[::1",
        "[::1]x",
        "[hooks.example]:80",
        "fe80::1%eth0",
        "http://hooks.example",
        "hooks.example/path",
        "two words",
        "bücher.example",
        "user@hooks.example",
    ],
)
def test_malformed_or_boundless_entry_is_named(entry: str) -> None:
    """A wrong entry stops with a sentence that shows it; the setting it stands in is named by who reads that."""
    with pytest.raises(InvalidAllowList) as caught:
        AllowList.parse(f"10.0.0.0/8, {entry}")
    assert repr(entry) in str(caught.value)


@pytest.mark.parametrize(
    ("entry", "address", "port"),
    [
        ("10.0.0.0/8", "10.9.9.9", 80),
        ("10.0.0.0/8:8080", "10.9.9.9", 8080),
        ("fd00::/16", "fd00::9", 80),
        ("::1", "::1", 80),
        ("[::1]:80", "::1", 80),
        ("[::1:80]", "::1:80", 443),
        ("fd00::8080", "fd00::8080", 443),
        ("fd00::1:8a", "fd00::1:8a", 443),
        ("fd00:1:2:3:4:5:6:80", "fd00:1:2:3:4:5:6:80", 443),
    ],
)
def test_an_entry_opens_what_it_names(entry: str, address: str, port: int) -> None:
    """The widest networks allowed, and every way to write an IPv6 address that cannot be misread."""
    allow = AllowList.parse(entry)
    assert allow.opens_address(ip_address(address), port)
    assert not allow.opens_address(ip_address("203.0.113.1"), port)


def test_what_may_be_misread_is_told_both_ways() -> None:
    """An address that ends like a port stops the start with both ways to write what may be meant."""
    with pytest.raises(InvalidAllowList) as caught:
        AllowList.parse("::1:80")
    assert "[::1:80] for the address, or [::1]:80 with the port" in str(caught.value)


@pytest.mark.parametrize("text", ["", " ", ",", " , ,"])
def test_empty_allow_list_opens_nothing(text: str) -> None:
    """No entry, or only commas, is an empty list."""
    assert AllowList.parse(text) == NOTHING


def test_connection_headers_are_left_out() -> None:
    """What belongs to the connection is written by the client alone, in whatever case it is spelled."""
    headers = {
        "HOST": "a",
        "content-length": "5",
        "Transfer-Encoding": "chunked",
        "connection": "x",
        "TE": "y",
    }
    assert sendable_headers({**headers, "Expect": "100-continue", "X-Kept": "1"}) == {"X-Kept": "1"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-A\r\nHost", "b"),
        ("X-A\n", "b"),
        ("X A", "b"),
        ("", "b"),
        ("X:A", "b"),
        ("Ä", "b"),
        ("Host\0", "b"),
        ("X-A", "b\r\nHost: c"),
        ("X-A", "b\nc"),
        ("X-A", "b\rc"),
        ("X-A", "b\0c"),
        ("X-A", "\x1b[31m"),
        ("X-A", "\ud800"),
    ],
)
def test_header_that_could_split_is_refused(name: str, value: str) -> None:
    """A line break, NUL or other control character in a header is a refusal, not an exception."""
    assert isinstance(sendable_headers({name: value}), Refused)
