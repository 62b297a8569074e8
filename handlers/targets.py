"""Decide which addresses outgoing calls may reach (security.md §1 and §2, decisions 47 and 48).

Pure: the write-time check calls `judge_url`; `bot/outbound.py` parses again and judges what is dialled.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from types import MappingProxyType
from typing import Literal
from urllib.parse import quote

from handlers.http import Refused
from handlers.networks import IPAddress, IPNetwork, block_of, faces

# One text for every refused address: it must not tell what is, or is not, behind it.
ADDRESS_REFUSED = Refused(
    "This address is not public, so it is not called. "
    "To allow it, name its host or network in PATCHBAY_ALLOW_TARGETS and restart."
)
LOOPBACK: tuple[IPAddress, ...] = (IPv4Address("127.0.0.1"), IPv6Address("::1"))

_URL = re.compile(r"(https?)://([^/?#]*)([^?#]*)(\?[^#]*)?(?:#.*)?", re.IGNORECASE | re.DOTALL)
_UNWRITABLE = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")
_AUTHORITY = re.compile(r"(\[[^\[\]]*\]|[^:\[\]]*)(?::(.*))?", re.DOTALL)
_LABEL = re.compile(r"[a-z0-9_-]{1,63}")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_PORTS = range(1, 65536)
# Everything printable stays as it was written; only blanks and what is not ASCII is percent-encoded.
_AS_WRITTEN = "".join(map(chr, range(0x21, 0x7F)))


WIDEST: Mapping[int, int] = MappingProxyType({4: 8, 6: 16})
"""Prefix length of the widest network an entry may name, by IP version.

The largest private IPv4 network is a /8, and no one's own IPv6 network reaches a /16; two halves of everything must
not open everything.
"""


class InvalidAllowList(ValueError):
    """An entry of PATCHBAY_ALLOW_TARGETS is neither an address, a network nor a host name."""

    code = "invalid-allow-targets"


@dataclass(frozen=True, slots=True)
class Target:
    """A well-formed place to call: `host` is lower case, without brackets and final dot."""

    scheme: Literal["http", "https"]
    host: str
    port: int
    path: str = field(repr=False)

    @property
    def url(self) -> str:
        """Return the address as it goes to the client, whatever odd spelling it came in."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{self.path}"

    @property
    def literals(self) -> tuple[IPAddress, ...]:
        """Return the addresses known without asking DNS: of a literal, or of localhost (RFC 6761)."""
        if self.host == "localhost" or self.host.endswith(".localhost"):
            return LOOPBACK
        if ":" in self.host or _ends_in_number(self.host):
            return (ip_address(self.host),)
        return ()


@dataclass(frozen=True, slots=True)
class AllowList:
    """The private targets PATCHBAY_ALLOW_TARGETS opens (decision 47); a port of None is every port."""

    networks: tuple[tuple[IPNetwork, int | None], ...] = ()
    hosts: frozenset[tuple[str, int | None]] = frozenset()

    @classmethod
    def parse(cls, text: str) -> "AllowList":
        """Read the comma-separated entries; raise InvalidAllowList with a sentence that names a bad one."""
        networks: list[tuple[IPNetwork, int | None]] = []
        hosts: set[tuple[str, int | None]] = set()
        for entry in filter(None, map(str.strip, text.split(","))):
            place, port = _parse_entry(entry)
            if isinstance(place, str):
                hosts.add((place, port))
            else:
                networks.append((place, port))
        return cls(tuple(networks), frozenset(hosts))

    def opens_address(self, address: IPAddress, port: int) -> bool:
        """Tell whether an address or network entry holds this address and port."""
        return any(address in network and only in (None, port) for network, only in self.networks)

    def opens_host(self, host: str, port: int) -> bool:
        """Tell whether a host entry is exactly this name, for this port."""
        return (host, None) in self.hosts or (host, port) in self.hosts


def judge_address(address: IPAddress, port: int, host: str, allow: AllowList) -> str | None:
    """Return why dialling the address on behalf of the host is refused (a word for logs), or None."""
    for face in faces(address):
        block = block_of(face)
        if block is None or allow.opens_address(face, port):
            continue
        if not (block.by_host and allow.opens_host(host, port)):
            return block.kind
    return None


def callable_addresses(target: Target, allow: AllowList) -> Iterator[IPAddress]:
    """Yield those addresses of a literal or of localhost that may be called."""
    for address in target.literals:
        if judge_address(address, target.port, target.host, allow) is None:
            yield address


def judge_url(text: str, allow: AllowList) -> Target | Refused:
    """Check an address when it is written: its form, and what is known without DNS (decision 48)."""
    target = parse_url(text)
    if isinstance(target, Target) and target.literals and not any(callable_addresses(target, allow)):
        return ADDRESS_REFUSED
    return target


@lru_cache(maxsize=1024)
def parse_url(text: str) -> Target | Refused:
    """Read an absolute http or https URL, refusing every spelling that two parsers may read differently."""
    if _UNWRITABLE.search(text) or "\\" in text:
        return Refused("The URL has a backslash, a line break or another control character: remove it.")
    parts = _URL.fullmatch(text.strip(" "))
    if parts is None:
        return Refused("The URL must start with http:// or https://.")
    scheme: Literal["http", "https"] = "https" if parts[1].lower() == "https" else "http"
    if "@" in parts[2]:
        return Refused("The URL must not hold a user name or password before the host.")
    authority = _AUTHORITY.fullmatch(parts[2])
    host = _canonical_host(authority[1]) if authority else None
    if authority is None or host is None:
        return Refused(
            "The URL has no valid host: use a name in ASCII letters (xn-- for others), "
            "four decimal numbers, or an IPv6 address in brackets."
        )
    port = _port(authority[2]) if authority[2] else {"http": 80, "https": 443}[scheme]
    if port is None:
        return Refused("The URL has no valid port: use a number from 1 to 65535.")
    return Target(scheme, host, port, quote((parts[3] or "/") + (parts[4] or ""), safe=_AS_WRITTEN))


def _canonical_host(text: str) -> str | None:
    if text.startswith("["):
        # A zone id names an interface of this machine: no public address needs one.
        address = None if "%" in text else _address(text[1:-1])
        return str(address) if isinstance(address, IPv6Address) else None
    name = text.lower().removesuffix(".") if text.isascii() else ""
    if _ends_in_number(name):
        return name if isinstance(_address(name), IPv4Address) else None
    labels = name.split(".")
    return name if len(name) <= 253 and all(map(_LABEL.fullmatch, labels)) else None


def _ends_in_number(name: str) -> bool:
    # As the URL standard has it: such a host is an IPv4 address or an error. System resolvers would read
    # 2130706433, 0x7f.1 and 0177.0.0.1 as addresses too.
    return _NUMBER.fullmatch(name.rpartition(".")[2]) is not None


def _address(text: str) -> IPAddress | None:
    try:
        return ip_address(text)
    except ValueError:
        return None


def _port(text: str) -> int | None:
    if not (text.isascii() and text.isdigit() and len(text) <= 5):
        return None
    return int(text) if int(text) in _PORTS else None


def _parse_entry(entry: str) -> tuple[IPNetwork | str, int | None]:
    place: IPNetwork | str | None = _network(entry)  # IPv6 needs its brackets only before a port
    port = None
    parts = None if place else _AUTHORITY.fullmatch(entry)
    if parts:
        place = _network(parts[1].strip("[]")) or _host_name(parts[1])
        port = _port(parts[2] or "")
    if isinstance(place, IPv6Network) and parts is None and _ends_like_a_port(entry):
        host, _, last = entry.rpartition(":")
        raise InvalidAllowList(
            f"{entry!r} may be an address or an address with a port: "
            f"write [{entry}] for the address, or [{host}]:{last} with the port."
        )
    if place is None or (parts and parts[2] is not None and port is None):
        raise InvalidAllowList(
            f"{entry!r} is not an address, a network (10.0.0.0/8) or an exact "
            "host name, each with an optional :port (IPv6 in brackets before a port)."
        )
    if not isinstance(place, str) and place.prefixlen < (least := WIDEST[place.version]):
        raise InvalidAllowList(
            f"{entry!r} opens more than a network of one's own can be: the widest that may be named is /{least} in "
            f"IPv{place.version}. Name the networks or hosts that are really needed."
        )
    return place, port


def _ends_like_a_port(entry: str) -> bool:
    """Tell whether what is an IPv6 address may as well be meant as another one with a port, as in `::1:80`."""
    host, _, port = entry.rpartition(":")
    return _port(port) is not None and _address(host) is not None


def _network(text: str) -> IPNetwork | None:
    try:
        network = ip_network(text)
    except ValueError:
        return None
    if "%" in text:  # a zone id: it would be dropped silently
        return None
    if isinstance(network, IPv6Network) and network.subnet_of(IPv6Network("::ffff:0:0/96")):
        # Judged addresses are unwrapped, so an entry in this form would never match.
        return IPv4Network((int(network.network_address) & 0xFFFFFFFF, network.prefixlen - 96))
    return network


def _host_name(text: str) -> str | None:
    host = None if text.startswith("[") else _canonical_host(text)
    return None if host is None or _ends_in_number(host) else host
