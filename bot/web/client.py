"""Who is calling: the client's address, forwarded headers only from trusted proxies (decision 27)."""

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address

from aiohttp import web

from handlers.networks import counted_as


def client_address(request: web.BaseRequest, trusted: Sequence[IPv4Network | IPv6Network]) -> str:
    """Return the right-most address in the chain that is not a trusted proxy's."""
    address = request.remote or ""
    if not trusted or not inside(address, trusted):
        return address
    chain = ",".join(request.headers.getall("X-Forwarded-For", [])).split(",")
    for hop in reversed([part.strip() for part in chain if part.strip()]):
        if not _is_address(hop):
            break
        address = hop
        if not inside(hop, trusted):
            break
    return address


def counted_address(request: web.BaseRequest, trusted: Sequence[IPv4Network | IPv6Network]) -> str:
    """Return what a client counts as in every limit for each address; logs name `client_address`."""
    return counted_as(client_address(request, trusted))


def inside(address: str, networks: Sequence[IPv4Network | IPv6Network]) -> bool:
    """Tell whether an address lies in one of the networks."""
    return _is_address(address) and any(ip_address(address) in network for network in networks)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
