"""Who is at the other end of the connection, behind proxies that we trust and only those."""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_network

from services.gateway.exchange import Exchange
from shared.client_address import Address, counted_address, parse_address

Network = IPv4Network | IPv6Network

MAX_HOPS = 32
_REMEMBERED = 4_096
_FORWARDED_FOR = re.compile(r'(?:^|[;,\s])for="?(\[[^\]]*\]|[^";,\s]*)', re.IGNORECASE)


def parse_networks(text: str) -> tuple[Network, ...]:
    """Networks out of a comma-separated list of addresses and CIDRs. Raises ValueError."""
    return tuple(ip_network(part.strip()) for part in text.split(",") if part.strip())


class Clients:
    """Finds a request's client address.

    X-Forwarded-For (or, in its absence, Forwarded) is read from the right, only when the peer is a
    trusted proxy, and only as far as trusted proxies wrote it.
    """

    def __init__(self, trusted: Iterable[Network]) -> None:
        self._trusted = tuple(trusted)
        self._known: dict[str, tuple[str, bool]] = {}
        self._keys: dict[str, str] = {}

    def locate(self, exchange: Exchange) -> None:
        """Sets `client_address`, normalised."""
        known = self._known.get(exchange.peer)
        address, trusted = known or self._look_up(exchange.peer)
        exchange.client_address = self._behind(exchange, address) if trusted else address

    def trusts(self, peer: str) -> bool:
        """Whether what `peer` says about forwarding is to be believed."""
        return bool(self._trusted) and (self._known.get(peer) or self._look_up(peer))[1]

    def key(self, exchange: Exchange) -> str:
        """The client's address as limits count it."""
        address = exchange.client_address
        key = self._keys.get(address)
        if key is None:
            if len(self._keys) >= _REMEMBERED:
                self._keys.clear()
            key = self._keys[address] = counted_address(address)
        return key

    def _look_up(self, peer: str) -> tuple[str, bool]:
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        address = parse_address(peer)
        text = peer if address is None else str(address)
        known = self._known[peer] = (text, self._is_trusted(address))
        return known

    def _is_trusted(self, address: Address | None) -> bool:
        return address is not None and any(address in network for network in self._trusted)

    def _behind(self, exchange: Exchange, address: str) -> str:
        client = address
        for hop in reversed(_hops(exchange)):
            parsed = parse_address(hop)
            if parsed is None:
                # Whoever wrote this is not one of ours: what stands further left is hearsay.
                break
            client = str(parsed)
            if not self._is_trusted(parsed):
                break
        return client


def _hops(exchange: Exchange) -> list[str]:
    forwarded_for = exchange.header_values(b"x-forwarded-for")
    if forwarded_for:
        hops = b",".join(forwarded_for).decode("latin-1").split(",")
    else:
        forwarded = b",".join(exchange.header_values(b"forwarded")).decode("latin-1")
        hops = _FORWARDED_FOR.findall(forwarded)
    return hops[-MAX_HOPS:]
