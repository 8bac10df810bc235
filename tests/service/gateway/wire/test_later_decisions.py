"""A decision on a repetition that comes later, when the limits were waited for."""

from __future__ import annotations

import asyncio

from services.gateway.exchange import Answer, Decide, Exchange
from shared.errors import RateLimited
from tests.service.gateway.wire.peers import Door, until

GET = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n"


def waiting(door: Door) -> list[tuple[Exchange, Decide]]:
    """Every request waits here until the test decides."""
    kept: list[tuple[Exchange, Decide]] = []

    def again(exchange: Exchange, decide: Decide) -> bool:
        door.policy.admitted.append(exchange)
        kept.append((exchange, decide))
        return True

    door.policy.again = again
    return kept


async def test_it_is_carried_out_in_the_order_of_the_requests(door: Door) -> None:
    kept = waiting(door)
    async with door.client() as client:
        await client.send(GET * 2)
        await until(lambda: kept)
        assert len(kept) == 1
        kept.pop()[1](Answer(200, [], b"one"))
        assert (await client.reply()).body == b"one"
        await until(lambda: kept)
        kept.pop()[1](RateLimited(7))
        assert (await client.reply()).status == 429
    await door.settled()


async def test_it_comes_too_late_for_a_client_that_has_left(door: Door) -> None:
    kept = waiting(door)
    async with door.client() as client:
        await client.send(GET)
        await until(lambda: kept)
        client.reset()
    await until(lambda: door.policy.finished)
    for decision in (Answer(200, [], b"one"), RateLimited(7)):
        kept[0][1](decision)
    await asyncio.sleep(0)
    await door.settled()
    assert door.policy.outcomes == ["client_left"]
    assert not door.policy.refused
