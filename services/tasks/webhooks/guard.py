"""No delivery to addresses that are not public: decided on the very address that is connected."""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.connector import AddrInfoType

# IPv6 networks that carry an IPv4 address whose host would be reached: NAT64, 6to4, Teredo, and
# the deprecated site-local addresses.
_DOUBTFUL = tuple(
    ip_network(network)
    for network in ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32", "fec0::/10")
)


class AddressRefused(OSError):
    """The host has an address to which nothing is delivered."""

    def __init__(self) -> None:
        super().__init__("the address is not public")


def is_public(text: str) -> bool:
    """Whether `text` is an address of the public Internet, once unwrapped."""
    try:
        address: IPv4Address | IPv6Address = ip_address(text.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if address.is_multicast or address.is_reserved or not address.is_global:
        return False
    return not any(
        address in network for network in _DOUBTFUL if network.version == address.version
    )


class GuardedResolver(AbstractResolver):
    """Resolves names whose addresses are public, every one of them."""

    def __init__(self, resolver: AbstractResolver) -> None:
        self._resolver = resolver

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """As aiohttp's. Raises AddressRefused."""
        found = await self._resolver.resolve(host, port, family)
        if not all(is_public(one["host"]) for one in found):
            raise AddressRefused
        return found

    async def close(self) -> None:
        await self._resolver.close()


def guarded_socket(address: AddrInfoType) -> socket.socket:
    """A socket for an address that is about to be connected: literal addresses meet this one only.

    Raises AddressRefused.
    """
    family, kind, protocol, _, place = address
    if not is_public(str(place[0])):
        raise AddressRefused
    return socket.socket(family=family, type=kind, proto=protocol)
