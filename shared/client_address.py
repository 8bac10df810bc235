"""Addresses of clients: as proxies write them, and as limits count them."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

Address = IPv4Address | IPv6Address

# The gateway's word on who is at the other end, behind the proxies that it trusts. A client's own
# is never passed on.
CLIENT_ADDRESS_HEADER = "X-Client-Address"
IPV6_PREFIX = 64


def parse_address(text: str) -> Address | None:
    """An address as proxies write it: with a port, in brackets, IPv4 inside IPv6. None if none."""
    text = text.strip().strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def counted_address(address: str) -> str:
    """What limits count an address by: IPv6 by its /64, which one customer has to himself."""
    parsed = parse_address(address)
    if isinstance(parsed, IPv6Address):
        return str(IPv6Network((parsed, IPV6_PREFIX), strict=False).network_address) + "/64"
    return address if parsed is None else str(parsed)
