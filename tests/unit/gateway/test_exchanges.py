"""API keys at the door, before an auth of the test's own."""

from __future__ import annotations

import asyncio
import time
from uuid import uuid4

import pytest
from prometheus_client import CollectorRegistry

from services.gateway.identity.exchanges import API_KEY, MOST_AT_ONCE, Exchanges
from services.gateway.identity.revoked import Revocation, Revoked
from shared.api_keys import new_api_key
from shared.auth_internal import AuthAway, Bought
from shared.errors import ServiceUnavailable, Unauthorized
from shared.tally import Tally
from tests import tokens

KEY = b"tl_live_PXJuZoNUMv9GF3M5bLVaxnJbZXztma0RUY7o"
KEY_ID = uuid4()


class FakeAuth:
    """Gives `token` for every key, once it may answer."""

    def __init__(self, token: str | None) -> None:
        self.token = token
        self.asked = 0
        self.away = False
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def exchange(self, credential: dict[str, str]) -> Bought | None:
        self.asked += 1
        await self.may_answer.wait()
        if self.away:
            raise AuthAway("gone")
        return None if self.token is None else Bought(self.token)


class Clock:
    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


class Bench:
    def __init__(self, token: str | None) -> None:
        self.auth = FakeAuth(token)
        self.revoked = Revoked(followed=True)
        self.clock = Clock()
        tally = Tally("lookups_total", "x", ("result",), registry=CollectorRegistry())
        self.keys = Exchanges(
            API_KEY, self.auth, tokens.verifier(), self.revoked, tally, self.clock
        )


@pytest.fixture
def bench() -> Bench:
    return Bench(tokens.token(sid=str(KEY_ID)))


@pytest.mark.parametrize("junk", [b"", b"junk", KEY[:-1], KEY + b"x", b"\xff" * 44, KEY[::-1]])
async def test_junk_is_refused_without_asking(bench: Bench, junk: bytes) -> None:
    with pytest.raises(Unauthorized):
        await bench.keys.find(junk)
    assert bench.auth.asked == 0


async def test_a_key_is_exchanged_once_and_then_takes_no_task(bench: Bench) -> None:
    found = await bench.keys.find(KEY)
    assert found.principal.session_id == str(KEY_ID)
    assert found.authorization.startswith(b"Bearer ey")
    with pytest.raises(StopIteration):
        bench.keys.find(KEY).send(None)
    assert bench.auth.asked == 1


async def test_many_at_once_with_one_key_ask_once(bench: Bench) -> None:
    bench.auth.may_answer.clear()
    waiting = [asyncio.create_task(bench.keys.find(KEY)) for _ in range(50)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    # One that gives up does not take the answer from the others.
    waiting[0].cancel()
    bench.auth.may_answer.set()
    found = await asyncio.gather(*waiting[1:])
    assert len({id(one) for one in found}) == 1
    assert bench.auth.asked == 1


async def test_a_bad_key_is_asked_about_again_only_after_a_pause(bench: Bench) -> None:
    bench.auth.token = None
    for _ in range(3):
        with pytest.raises(Unauthorized):
            await bench.keys.find(KEY)
    assert bench.auth.asked == 1
    bench.clock.now += 5.0
    with pytest.raises(Unauthorized):
        await bench.keys.find(KEY)
    assert bench.auth.asked == 2


async def test_an_expired_token_is_replaced(bench: Bench) -> None:
    first = await bench.keys.find(KEY)
    bench.clock.now = first.principal.expires_at
    await bench.keys.find(KEY)
    assert bench.auth.asked == 2


async def test_a_revoked_key_is_refused_even_when_auth_still_gives_a_token(bench: Bench) -> None:
    await bench.keys.find(KEY)
    bench.revoked.take([Revocation(KEY_ID, None, 0.0)])
    with pytest.raises(Unauthorized):
        await bench.keys.find(KEY)
    assert bench.auth.asked == 3


async def test_a_token_from_before_a_change_of_rights_is_replaced_and_the_credential_kept(
    bench: Bench,
) -> None:
    bench.revoked.take([Revocation(tokens.USER, 1, 0.0)])
    fresh = tokens.token(sid=str(KEY_ID), epoch=1)
    asking = bench.auth.exchange

    async def exchange(credential: dict[str, str]) -> Bought | None:
        bought = await asking(credential)
        bench.auth.token = fresh
        return bought

    bench.auth.exchange = exchange  # type: ignore[method-assign]  # the second answer is another
    assert (await bench.keys.find(KEY)).principal.epoch == 1
    assert bench.auth.asked == 2


async def test_a_revocation_that_overtakes_the_token_wins(bench: Bench) -> None:
    bench.auth.may_answer.clear()
    waiting = asyncio.create_task(bench.keys.find(KEY))
    await asyncio.sleep(0)
    bench.revoked.take([Revocation(KEY_ID, None, 0.0)])
    bench.auth.may_answer.set()
    with pytest.raises(Unauthorized):
        await waiting


async def test_without_auth_a_key_that_is_not_known_is_refused(bench: Bench) -> None:
    bench.auth.away = True
    with pytest.raises(ServiceUnavailable):
        await bench.keys.find(KEY)
    bench.auth.away = False
    await bench.keys.find(KEY)
    bench.auth.away = True
    await bench.keys.find(KEY)


async def test_a_forged_token_from_auth_is_not_believed() -> None:
    bench = Bench(tokens.token(key="another", headers={"kid": tokens.KEY_ID}))
    with pytest.raises(ServiceUnavailable):
        await bench.keys.find(KEY)


async def test_one_exchange_too_many_is_refused_at_once(bench: Bench) -> None:
    bench.auth.may_answer.clear()
    waiting = [
        asyncio.create_task(bench.keys.find(new_api_key().encode())) for _ in range(MOST_AT_ONCE)
    ]
    await asyncio.sleep(0)
    with pytest.raises(ServiceUnavailable):
        await bench.keys.find(KEY)
    bench.auth.may_answer.set()
    await asyncio.gather(*waiting)
