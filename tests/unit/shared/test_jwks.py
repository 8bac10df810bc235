"""The key cache: garbage, absence and a storm of unknown ids."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import orjson
import pytest
from aiohttp import ClientConnectionError
from prometheus_client import CollectorRegistry

from shared.errors import ServiceUnavailable
from shared.jwks import MAX_KEYS, JwksCache, parse_key_set
from shared.process import background
from tests.tokens import key_set, public_jwk


def one_key(**changes: Any) -> bytes:
    entry = {**public_jwk("key-1"), **changes}
    return orjson.dumps({"keys": [{k: v for k, v in entry.items() if v != "absent"}]})


GARBAGE: dict[str, bytes] = {
    "nothing": b"",
    "HTML": b"<html>502 Bad Gateway</html>",
    "half": key_set("key-1")[:-10],
    "null": b"null",
    "list": b"[]",
    "text": b'"keys"',
    "no keys": b"{}",
    "keys null": b'{"keys": null}',
    "keys an object": b'{"keys": {}}',
    "keys empty": b'{"keys": []}',
    "too many keys": orjson.dumps({"keys": [public_jwk("key-1")] * (MAX_KEYS + 1)}),
    "an entry that is text": b'{"keys": ["key"]}',
    "an entry that is null": b'{"keys": [null]}',
    "no kid": one_key(kid="absent"),
    "kid number": one_key(kid=1),
    "kid null": one_key(kid=None),
    "no modulus": one_key(n="absent"),
    "modulus number": one_key(n=5),
    "modulus null": one_key(n=None),
    "modulus empty": one_key(n=""),
    "modulus tiny": one_key(n="AQAB"),
    "modulus no base64": one_key(n="é!"),
    "exponent list": one_key(e=[1]),
    "exponent one": one_key(e="AQ"),
    "a private part": one_key(d="AQAB"),
    "only a key for encryption": one_key(use="enc"),
    "only a symmetric key": b'{"keys": [{"kid": "a", "kty": "oct", "k": "AQAB"}]}',
    "only a curve": b'{"keys": [{"kid": "a", "kty": "EC", "crv": "P-256", "x": "", "y": ""}]}',
    "nests deep": b"[" * 5000 + b"]" * 5000,
}


@pytest.mark.parametrize("body", GARBAGE.values(), ids=GARBAGE.keys())
def test_garbage_is_no_key_set(body: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the type is the contract of Fetch
        parse_key_set(body)


def test_keys_for_other_uses_are_passed_over() -> None:
    mixed = [{**public_jwk("other"), "use": "enc"}, {"kid": "c", "kty": "EC"}, public_jwk("key-1")]
    assert list(parse_key_set(orjson.dumps({"keys": mixed}))) == ["key-1"]


class Auth:
    """Auth's key set endpoint: says what it is told to, as often as it is asked."""

    def __init__(self, *answers: bytes | Exception) -> None:
        self.answers = list(answers)
        self.asked = 0
        self.open = asyncio.Event()
        self.open.set()

    async def __call__(self) -> bytes:
        self.asked += 1
        await self.open.wait()
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


class Clock:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


async def test_a_thousand_unknown_ids_cause_one_fetch() -> None:
    auth = Auth(key_set("key-1"))
    cache = JwksCache(auth, now=Clock())
    auth.open.clear()
    asking = [asyncio.create_task(cache.key(f"unknown-{at}")) for at in range(1000)]
    await asyncio.sleep(0.01)
    auth.open.set()
    assert set(await asyncio.gather(*asking)) == {None}
    assert auth.asked == 1


async def test_unknown_ids_cause_one_fetch_per_cool_down() -> None:
    auth, clock = Auth(key_set("key-1")), Clock()
    cache = JwksCache(auth, cooldown_seconds=5, now=clock)
    for at in range(100):
        assert await cache.key(f"unknown-{at}") is None
    assert auth.asked == 1
    clock.seconds += 5
    for at in range(100):
        assert await cache.key(f"unknown-{at}") is None
    assert auth.asked == 2


async def test_a_new_key_is_found_by_the_first_token_that_uses_it() -> None:
    auth, clock = Auth(key_set("key-1"), key_set("key-1", "key-2")), Clock()
    cache = JwksCache(auth, now=clock)
    assert await cache.key("key-1") is not None
    clock.seconds += 5
    assert await cache.key("key-2") is not None
    assert auth.asked == 2


async def test_a_known_key_asks_nobody() -> None:
    auth, clock = Auth(key_set("key-1")), Clock()
    cache = JwksCache(auth, now=clock)
    await cache.key("key-1")
    clock.seconds += 1_000_000
    assert await cache.key("key-1") is not None
    assert auth.asked == 1


@pytest.mark.parametrize(
    "failure",
    [
        OSError("connection refused"),
        TimeoutError(),
        ClientConnectionError(),
        ValueError("status 500"),
        b"<html>",
        GARBAGE["nests deep"],
    ],
    ids=repr,
)
async def test_keys_once_known_outlive_a_failure(failure: bytes | Exception) -> None:
    auth, clock = Auth(key_set("key-1"), failure), Clock()
    cache = JwksCache(auth, now=clock)
    await cache.refresh()
    clock.seconds += 3600
    await cache.refresh()
    assert auth.asked == 2
    assert await cache.key("key-1") is not None
    assert await cache.key("key-2") is None
    assert cache.age_seconds == 3600


async def test_without_any_key_nobody_is_judged_and_auth_is_asked_once_a_second() -> None:
    auth, clock = Auth(OSError("refused"), OSError("refused"), key_set("key-1")), Clock()
    cache = JwksCache(auth, now=clock)
    assert cache.age_seconds is None
    for _ in range(10):
        with pytest.raises(ServiceUnavailable):
            await cache.key("key-1")
    assert auth.asked == 1
    clock.seconds += 1
    with pytest.raises(ServiceUnavailable):
        await cache.key("key-1")
    clock.seconds += 1
    assert await cache.key("key-1") is not None
    assert auth.asked == 3


async def test_a_caller_that_gives_up_takes_nothing_from_the_others() -> None:
    auth = Auth(key_set("key-1"))
    cache = JwksCache(auth)
    auth.open.clear()
    impatient = asyncio.create_task(cache.key("key-1"))
    patient = asyncio.create_task(cache.key("key-1"))
    await asyncio.sleep(0.01)
    impatient.cancel()
    await asyncio.gather(impatient, return_exceptions=True)
    auth.open.set()
    assert await patient is not None
    assert auth.asked == 1


async def test_a_key_that_was_withdrawn_is_gone_after_the_next_refresh() -> None:
    cache = JwksCache(Auth(key_set("key-1"), key_set("key-2")))
    await cache.refresh()
    await cache.refresh()
    assert await cache.key("key-1") is None
    assert await cache.key("key-2") is not None


async def test_only_a_withdrawn_key_is_told_of() -> None:
    told: list[int] = []
    auth = Auth(
        key_set("key-1"), key_set("key-1", "key-2"), ValueError("garbage"), key_set("key-2")
    )
    cache = JwksCache(auth)
    cache.withdrawn = lambda: told.append(auth.asked)
    for _ in range(4):
        await cache.refresh()
    assert told == [4]


async def test_the_background_job_goes_on_after_failures() -> None:
    enough = asyncio.Event()
    auth = Auth(ValueError("garbage"), key_set("key-1"))

    async def fetch() -> bytes:
        if auth.asked == 3:
            enough.set()
        return await auth()

    cache = JwksCache(fetch, refresh_seconds=0.01)
    await cache.refresh()
    async with background(cache.keep_fresh), asyncio.timeout(10):
        await enough.wait()
    assert await cache.key("key-1") is not None


async def test_the_age_is_exported_and_infinite_before_the_first_set() -> None:
    now = 0.0

    async def fetch() -> bytes:
        return key_set("key-1")

    cache = JwksCache(fetch, now=lambda: now)
    registry = CollectorRegistry()
    cache.export_age(registry)
    assert registry.get_sample_value("jwks_age_seconds") == math.inf
    await cache.refresh()
    now = 90.0
    assert registry.get_sample_value("jwks_age_seconds") == 90.0
