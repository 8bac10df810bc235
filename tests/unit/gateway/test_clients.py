"""Whose address a request is counted by."""

from __future__ import annotations

import pytest

from services.gateway.clients import Clients, parse_networks
from shared.client_address import counted_address, parse_address
from tests.unit.gateway.exchanges import exchange

PROXIES = parse_networks("10.0.0.0/8, 2001:db8:ffff::/48")


@pytest.mark.parametrize(
    ("peer", "headers", "client"),
    [
        ("192.0.2.7", {}, "192.0.2.7"),
        ("192.0.2.7", {"x_forwarded_for": "1.1.1.1"}, "192.0.2.7"),
        ("10.0.0.1", {}, "10.0.0.1"),
        ("10.0.0.1", {"x_forwarded_for": "198.51.100.9"}, "198.51.100.9"),
        ("10.0.0.1", {"x_forwarded_for": "6.6.6.6, 198.51.100.9"}, "198.51.100.9"),
        ("10.0.0.1", {"x_forwarded_for": ["6.6.6.6", "198.51.100.9"]}, "198.51.100.9"),
        ("10.0.0.1", {"x_forwarded_for": "6.6.6.6, 198.51.100.9, 10.0.0.2"}, "198.51.100.9"),
        ("10.0.0.1", {"x_forwarded_for": "198.51.100.9, junk"}, "10.0.0.1"),
        ("10.0.0.1", {"x_forwarded_for": "junk, 198.51.100.9"}, "198.51.100.9"),
        ("10.0.0.1", {"x_forwarded_for": "10.9.9.9, 10.0.0.2"}, "10.9.9.9"),
        ("10.0.0.1", {"x_forwarded_for": "198.51.100.9:4711"}, "198.51.100.9"),
        ("10.0.0.1", {"x_forwarded_for": "[2001:db8::9]:4711"}, "2001:db8::9"),
        ("10.0.0.1", {"x_forwarded_for": "::ffff:198.51.100.9"}, "198.51.100.9"),
        ("::ffff:10.0.0.1", {"x_forwarded_for": "198.51.100.9"}, "198.51.100.9"),
        ("2001:db8:ffff::1", {"x_forwarded_for": "198.51.100.9"}, "198.51.100.9"),
        ("10.0.0.1", {"forwarded": "for=6.6.6.6, for=198.51.100.9;proto=https"}, "198.51.100.9"),
        ("10.0.0.1", {"forwarded": 'For="[2001:db8::9]:47"'}, "2001:db8::9"),
        ("10.0.0.1", {"forwarded": "for=unknown"}, "10.0.0.1"),
        ("192.0.2.7", {"forwarded": "for=1.1.1.1"}, "192.0.2.7"),
        ("::ffff:192.0.2.7", {}, "192.0.2.7"),
    ],
)
def test_client_address(peer: str, headers: dict[str, str | list[str]], client: str) -> None:
    request = exchange(peer=peer, headers=headers)
    Clients(PROXIES).locate(request)
    assert request.client_address == client


def test_nobody_is_trusted_by_default() -> None:
    request = exchange(peer="127.0.0.1", x_forwarded_for="1.1.1.1")
    clients = Clients(())
    clients.locate(request)
    assert request.client_address == "127.0.0.1"
    assert not clients.trusts("127.0.0.1")


def test_a_flood_of_peers_is_not_remembered_for_ever() -> None:
    clients = Clients(PROXIES)
    for number in range(20_000):
        request = exchange(peer=f"192.0.{number >> 8 & 255}.{number & 255}")
        clients.locate(request)
        clients.key(request)
    assert len(clients._known) <= 4_096
    assert len(clients._keys) <= 4_096


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
    ],
)
def test_limits_count_ipv6_by_its_network(address: str, key: str) -> None:
    assert counted_address(address) == key


@pytest.mark.parametrize("text", ["", "unknown", "_hidden", "1.2.3", "1.2.3.4.5", "[", "[]:1"])
def test_what_is_no_address(text: str) -> None:
    assert parse_address(text) is None


@pytest.mark.parametrize("text", ["10.0.0.1/8", "example.org", "10.0.0.0/33"])
def test_bad_networks(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_networks(text)
