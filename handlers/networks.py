"""Name the networks that are not public, and the addresses hidden in other addresses (security.md §2).

A table of our own: `ipaddress.is_global` calls loopback in NAT64 dress, 6to4, site-local and multicast
addresses global (security.md §1).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

IPAddress = IPv4Address | IPv6Address
IPNetwork = IPv4Network | IPv6Network

SUBSCRIBER_BITS = 64
"""Prefix length of the least IPv6 network a provider gives one subscriber (RFC 6177): its 2**64 addresses are one's."""


@dataclass(frozen=True, slots=True)
class Block:
    """A network that is not public; `by_host` says whether allowing a host name can open it (decision 47)."""

    network: IPNetwork
    kind: str
    by_host: bool


def _block(network: str, kind: str, *, by_host: bool = True) -> Block:
    return Block(ip_network(network), kind, by_host)


# The first hit counts, so single addresses stand before the networks around them.
# Sources: the IANA special-purpose registries, and the cloud vendors' pages for metadata.
BLOCKS = (
    _block("100.100.100.200/32", "metadata", by_host=False),  # Alibaba Cloud
    _block("168.63.129.16/32", "metadata", by_host=False),  # Azure
    _block("169.254.169.254/32", "metadata", by_host=False),  # most clouds
    _block("192.0.0.192/32", "metadata", by_host=False),  # Oracle Cloud
    _block("0.0.0.0/8", "unspecified", by_host=False),
    _block("10.0.0.0/8", "private"),
    _block("100.64.0.0/10", "shared"),
    _block("127.0.0.0/8", "loopback"),
    _block("169.254.0.0/16", "link-local", by_host=False),
    _block("172.16.0.0/12", "private"),
    _block("192.0.0.0/24", "protocol"),
    _block("192.0.2.0/24", "documentation"),
    _block("192.88.99.0/24", "6to4-relay"),
    _block("192.168.0.0/16", "private"),
    _block("198.18.0.0/15", "benchmark"),
    _block("198.51.100.0/24", "documentation"),
    _block("203.0.113.0/24", "documentation"),
    _block("224.0.0.0/4", "multicast", by_host=False),
    _block("255.255.255.255/32", "broadcast", by_host=False),
    _block("240.0.0.0/4", "reserved"),
    _block("fd00:ec2::254/128", "metadata", by_host=False),  # AWS
    _block("fd20:ce::254/128", "metadata", by_host=False),  # Google Cloud
    _block("::/128", "unspecified", by_host=False),
    _block("::1/128", "loopback"),
    _block("::/8", "embedding", by_host=False),  # v4-compatible, v4-translated, local NAT64 and unused
    _block("2001::/23", "protocol", by_host=False),  # Teredo, benchmark, ORCHID
    _block("2001:db8::/32", "documentation"),
    _block("2002::/16", "6to4", by_host=False),
    _block("3fff::/20", "documentation"),
    _block("fc00::/7", "private"),
    _block("fe80::/10", "link-local", by_host=False),
    _block("fec0::/10", "site-local"),
    _block("ff00::/8", "multicast", by_host=False),
    # Global unicast is 2000::/3 and nothing else: 100::/64, 5f00::/16 and all unused space end here.
    _block("::/3", "reserved"),
    _block("4000::/2", "reserved"),
    _block("8000::/1", "reserved"),
)

# An address here is only another way to write, or to reach, the IPv4 address in its last 32 bits.
_TRANSPARENT = (IPv6Network("::ffff:0:0/96"), IPv6Network("64:ff9b::/96"))
# Here the last 32 bits may be reached as well: v4-compatible, v4-translated, NAT64 with a local prefix.
_EMBEDDING = (IPv6Network("::/96"), IPv6Network("::ffff:0:0:0/96"), IPv6Network("64:ff9b:1::/48"))
_ISATAP = (0x00005EFE, 0x02005EFE)


def block_of(address: IPAddress) -> Block | None:
    """Return the non-public network of an address, or None for a public one."""
    for block in BLOCKS:
        if address in block.network:
            return block
    return None


def faces(address: IPAddress) -> Iterator[IPAddress]:
    """Yield every address that dialling this one may reach; all of them have to be judged."""
    if isinstance(address, IPv4Address):
        yield address
        return
    low = IPv4Address(int(address) & 0xFFFFFFFF)
    if any(address in network for network in _TRANSPARENT):
        yield low
        return
    yield address
    # `::` and `::1` are themselves, not 0.0.0.0 and 0.0.0.1 in disguise.
    if any(address in network for network in _EMBEDDING) and int(address) > 1:
        yield low
    if (int(address) >> 32) & 0xFFFFFFFF in _ISATAP:
        yield low
    if address.sixtofour:
        yield address.sixtofour
    if address.teredo:
        yield from address.teredo


def counted_as(address: str) -> str:
    """Return what an address counts as wherever something is limited for each address.

    IPv4 addresses count alone, also when written as IPv4-mapped IPv6; IPv6 addresses count by their /64. What is no
    address, such as the empty name of a connection that has ended, counts as itself.
    """
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    network = int(parsed) >> (128 - SUBSCRIBER_BITS) << (128 - SUBSCRIBER_BITS)
    return f"{IPv6Address(network)}/{SUBSCRIBER_BITS}"
