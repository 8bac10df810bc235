"""Signatures, the guard against inner addresses, and the schedule of attempts."""

import asyncio
import socket
import threading
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from services.tasks.webhooks.guard import AddressRefused, GuardedResolver, guarded_socket, is_public
from services.tasks.webhooks.lookup import HostLookup
from services.tasks.webhooks.schedule import DELAYS, give_up_after, pause_seconds
from services.tasks.webhooks.signature import new_secret, shown_secret, sign

INNER = [
    "127.0.0.1",
    "127.8.8.8",
    "0.0.0.0",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "169.254.169.254",
    "192.0.2.1",
    "198.18.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "fd00::1",
    "ff02::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:100.64.0.1",
    "64:ff9b::7f00:1",
    "2002:7f00:1::1",
    "2001:db8::1",
    "2001:0:1::1",
    "",
    "localhost",
    "1",
]


@pytest.mark.parametrize("address", INNER)
def test_inner_addresses_are_refused(address: str) -> None:
    assert not is_public(address)
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with pytest.raises(AddressRefused):
        guarded_socket((family, socket.SOCK_STREAM, 6, "", (address, 80)))


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8"])
def test_public_addresses_pass(address: str) -> None:
    assert is_public(address)


async def test_names_of_inner_addresses_are_refused() -> None:
    resolver = GuardedResolver(HostLookup())
    with pytest.raises(AddressRefused):
        await resolver.resolve("localhost", 80)
    await resolver.close()


def answering(*addresses: str) -> Callable[..., Any]:
    """A system resolver that gives every name these addresses."""

    def getaddrinfo(_host: str, port: int, **_: Any) -> list[Any]:
        return [
            (
                (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (one, port, 0, 0))
                if ":" in one
                else (socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port))
            )
            for one in addresses
        ]

    return getaddrinfo


async def test_one_inner_address_among_many_refuses_the_name() -> None:
    for addresses in (["8.8.8.8", "10.0.0.1"], ["2606:4700::1111", "::ffff:127.0.0.1"]):
        resolver = GuardedResolver(HostLookup(answering(*addresses)))
        with pytest.raises(AddressRefused):
            await resolver.resolve("example.org", 80)
        await resolver.close()
    resolver = GuardedResolver(HostLookup(answering("8.8.8.8", "2606:4700::1111")))
    found = await resolver.resolve("example.org", 80, socket.AF_UNSPEC)
    assert [(one["host"], one["port"]) for one in found] == [
        ("8.8.8.8", 80),
        ("2606:4700::1111", 80),
    ]
    await resolver.close()


async def test_a_silent_name_costs_one_thread_and_delays_no_other() -> None:
    asked: Counter[str] = Counter()
    release = threading.Event()

    def getaddrinfo(host: str, port: int, **options: Any) -> Any:
        asked[host] += 1
        if host == "silent.example":
            assert release.wait(30)
            raise socket.gaierror
        return answering("8.8.8.8")(host, port, **options)

    lookup = HostLookup(getaddrinfo)
    silent = [asyncio.create_task(lookup.resolve("silent.example", 80)) for _ in range(200)]
    await asyncio.sleep(0)
    # One that is out of time leaves the others waiting.
    silent[0].cancel()
    for number in range(100):
        assert await lookup.resolve(f"{number}.example", 80)
    assert not any(one.done() for one in silent[1:])
    release.set()
    results = await asyncio.gather(*silent, return_exceptions=True)
    assert {type(one) for one in results[1:]} == {socket.gaierror}
    assert asked["silent.example"] == 1
    await lookup.close()


def test_signature_is_good_for_the_reference_library() -> None:
    secret, old = new_secret(), new_secret()
    body = '{"type":"task.created","text":"Ünïcödé"}'.encode()
    now = int(datetime.now(UTC).timestamp())
    headers = sign([secret, old], "0199", now, body)
    assert "." not in headers["webhook-id"]
    for key in (secret, old):
        assert Webhook(shown_secret(key)).verify(body, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(shown_secret(new_secret())).verify(body, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(shown_secret(secret)).verify(body + b" ", headers)


def test_schedule() -> None:
    assert sum(DELAYS) > timedelta(days=3).total_seconds()
    for attempts, delay in enumerate(DELAYS, 1):
        pause = pause_seconds(attempts, 1.0)
        assert pause is not None
        assert delay <= pause <= delay * 1.1
    assert pause_seconds(len(DELAYS) + 1, 1.0) is None
    assert pause_seconds(1, 1.0, 60.0) == 60.0
    assert pause_seconds(1, 1.0, 1e9) == 86_400.0
    assert give_up_after(1.0) == timedelta(days=5)
    assert give_up_after(0.0) > timedelta()
