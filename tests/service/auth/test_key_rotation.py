"""Signing keys come, sign and go; at rest they are encrypted."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from prometheus_client import CollectorRegistry

from services.auth.domain import KeyLife
from services.auth.handlers import KEYS, STORE
from services.auth.key_places import signing_key_place
from services.auth.keys import KeyRing, Seal
from services.auth.usecases import signing_keys
from services.auth.usecases.signing_keys import Resealed, advance, retire, rotate
from shared.sealing import CannotUnseal, SealingKeys
from tests.sealing import NEW, OLD
from tests.service.auth.conftest import Auth, Start
from tests.service.auth.test_keys import kid_of

AT_REST = SealingKeys.parse(OLD)
ALL = 1 + len(Seal)
LIFE = KeyLife(publish=timedelta(minutes=10), keep=timedelta(minutes=16), every=timedelta(days=30))


async def states(auth: Auth) -> dict[str, str]:
    rows = await auth.sql("SELECT kid, state FROM signing_keys ORDER BY created_at, kid")
    return {row["kid"]: row["state"] for row in rows}


async def pass_time(auth: Auth, interval: str) -> None:
    """Lets every key have been in its state for longer."""
    await auth.sql(f"UPDATE signing_keys SET state_since = state_since - interval '{interval}'")


async def look(*replicas: Auth) -> None:
    """What each replica does every few seconds."""
    for replica in replicas:
        await replica.client.app[KEYS].published.refresh()


async def published(auth: Auth) -> set[str]:
    keys = (await (await auth.client.get("/.well-known/jwks.json")).json())["keys"]
    return {key["kid"] for key in keys}


async def test_a_key_is_published_before_it_signs_and_kept_after(start: Start) -> None:
    one, other = await start(), await start()
    store = one.client.app[STORE]
    first = await one.register()
    coming = await rotate(store, AT_REST)
    assert coming is not None
    await look(one, other)
    for auth in (one, other):
        assert await published(auth) == {kid_of(first), coming}
    await pass_time(one, "9 minutes 50 seconds")
    await advance(store, AT_REST, LIFE)
    assert (await states(one))[coming] == "next"
    await pass_time(one, "11 seconds")
    await advance(store, AT_REST, LIFE)
    assert await states(one) == {kid_of(first): "retired", coming: "active"}
    await look(one, other)
    for auth in (one, other):
        assert kid_of(await auth.register()) == coming
        assert (await auth.profile(first["access_token"])).status == 200
    await pass_time(one, "15 minutes 50 seconds")
    await advance(store, AT_REST, LIFE)
    assert len(await states(one)) == 2
    await pass_time(one, "11 seconds")
    await advance(store, AT_REST, LIFE)
    assert await states(one) == {coming: "active"}


async def test_the_schedule_publishes_one_key_however_many_replicas_keep_it(start: Start) -> None:
    replicas = [await start() for _ in range(3)]
    await replicas[0].register()
    stores = [replica.client.app[STORE] for replica in replicas]
    await pass_time(replicas[0], "29 days 23 hours 49 minutes")
    await asyncio.gather(*(advance(store, AT_REST, LIFE) for store in stores))
    assert list((await states(replicas[0])).values()) == ["active"]
    await pass_time(replicas[0], "2 minutes")
    for _ in range(2):
        await asyncio.gather(*(advance(store, AT_REST, LIFE) for store in stores))
        assert sorted((await states(replicas[0])).values()) == ["active", "next"]
    await pass_time(replicas[0], "11 minutes")
    for _ in range(2):
        await asyncio.gather(*(advance(store, AT_REST, LIFE) for store in stores))
        assert sorted((await states(replicas[0])).values()) == ["active", "retired"]


async def test_without_a_schedule_nothing_is_published(auth: Auth) -> None:
    await auth.register()
    await pass_time(auth, "1000 days")
    await advance(auth.client.app[STORE], AT_REST, KeyLife(LIFE.publish, LIFE.keep, None))
    assert list((await states(auth)).values()) == ["active"]


async def test_the_service_rotates_by_itself(start: Start) -> None:
    first = await start()
    await first.register()
    await rotate(first.client.app[STORE], AT_REST)
    await pass_time(first, "1 hour")
    second = await start()

    async def took_over() -> bool:
        return sorted((await states(second)).values()) == ["active", "retired"]

    for _ in range(200):
        if await took_over():
            return
        await asyncio.sleep(0.05)
    pytest.fail("nobody promoted the key")


async def test_only_one_key_waits_at_a_time(auth: Auth) -> None:
    store = auth.client.app[STORE]
    made = await asyncio.gather(*(rotate(store, AT_REST) for _ in range(3)))
    assert sum(kid is not None for kid in made) == 1


async def test_a_key_that_leaked_takes_its_tokens_with_it(start: Start) -> None:
    one, other = await start(), await start()
    store = one.client.app[STORE]
    grant = await one.register()
    for auth in (one, other):
        assert (await auth.profile(grant["access_token"])).status == 200
    assert await retire(store, AT_REST, kid_of(grant))
    assert not await retire(store, AT_REST, kid_of(grant))
    await look(one, other)
    for auth in (one, other):
        assert kid_of(grant) not in await published(auth)
        assert (await auth.profile(grant["access_token"])).status == 401
    renewed = await (await other.refresh(grant["refresh_token"])).json()
    assert kid_of(renewed) != kid_of(grant)
    assert (await one.profile(renewed["access_token"])).status == 200


async def test_the_next_key_signs_when_the_active_one_is_withdrawn(auth: Auth) -> None:
    store = auth.client.app[STORE]
    grant = await auth.register()
    coming = await rotate(store, AT_REST)
    await retire(store, AT_REST, kid_of(grant))
    await look(auth)
    assert kid_of(await auth.register()) == coming


async def test_no_key_can_be_read_in_the_database(start: Start) -> None:
    auth = await start(makes_its_key=True)
    await rotate(auth.client.app[STORE], AT_REST)
    rows = await auth.sql("SELECT private_key AS key FROM signing_keys")
    rows += await auth.sql("SELECT key FROM sealing_keys")
    assert len(rows) == ALL + 1
    for row in rows:
        assert row["key"].startswith(b"tls1")
        with pytest.raises(ValueError, match=r"."):
            serialization.load_der_private_key(row["key"], password=None)


async def test_keys_are_encrypted_again_and_the_old_encryption_key_can_go(start: Start) -> None:
    first = await start()
    grant = await first.register()
    store = first.client.app[STORE]
    both = SealingKeys.parse(f"{NEW},{OLD}")
    # The signing key of these tests was stored plain.
    assert await signing_keys.reseal(store, AT_REST) == Resealed(ALL, 1, 0)
    assert await signing_keys.reseal(store, both) == Resealed(ALL, ALL, 0)
    assert await signing_keys.reseal(store, both) == Resealed(ALL, 0, 0)
    second = await start(encryption_keys=NEW)
    assert (await second.profile(grant["access_token"])).status == 200
    assert (await second.refresh(grant["refresh_token"])).status == 200


async def test_without_their_encryption_key_no_keys_are_loaded_and_it_is_named(
    start: Start,
) -> None:
    auth = await start(makes_its_key=True)
    ring = KeyRing(auth.client.app[STORE], CollectorRegistry(), SealingKeys.parse(NEW))
    with pytest.raises(CannotUnseal, match="'k1', which ENCRYPTION_KEYS does not have"):
        await ring.load()


@pytest.mark.parametrize("table", ["signing_keys", "sealing_keys"])
async def test_keys_that_changed_places_are_refused(start: Start, table: str) -> None:
    auth = await start(makes_its_key=True)
    await rotate(auth.client.app[STORE], AT_REST)
    column, name = {"signing_keys": ("private_key", "kid"), "sealing_keys": ("key", "purpose")}[
        table
    ]
    await auth.sql(
        f"UPDATE {table} t SET {column} = o.{column} FROM {table} o WHERE o.{name} <> t.{name}"
    )
    ring = KeyRing(auth.client.app[STORE], CollectorRegistry(), AT_REST)
    with pytest.raises(CannotUnseal, match="moved here"):
        await ring.load()
    await look(auth)
    # Who has read them before goes on with them.
    await auth.register()


async def test_a_retired_key_that_cannot_be_read_stops_nobody(start: Start) -> None:
    auth = await start()
    grant: dict[str, Any] = await auth.register()
    await auth.sql(
        "INSERT INTO signing_keys (kid, private_key, state, created_at) VALUES"
        " ('lost', $1, 'retired', now())",
        SealingKeys.parse(NEW).seal(b"x" * 100, signing_key_place("lost")),
    )
    late = await start()
    assert await published(late) == {kid_of(grant)}
    assert (await late.profile(grant["access_token"])).status == 200


async def test_the_audit_log_tells_what_became_of_each_key(auth: Auth) -> None:
    store = auth.client.app[STORE]
    [first] = await states(auth)
    second = await rotate(store, AT_REST)
    await pass_time(auth, "10 minutes 1 second")
    await advance(store, AT_REST, LIFE)
    await pass_time(auth, "17 minutes")
    await advance(store, AT_REST, LIFE)
    assert second is not None
    assert await retire(store, AT_REST, second)
    [third] = await states(auth)
    await signing_keys.reseal(store, SealingKeys.parse(f"{NEW},{OLD}"))
    rows = await auth.sql(
        "SELECT event, details::json ->> 'kid' AS kid FROM audit_events WHERE event LIKE '%key%'"
        " ORDER BY at, id"
    )
    told = [(row["event"], row["kid"]) for row in rows]
    assert sorted(told[:3]) == sorted(
        [
            ("signing_key.published", second),
            ("signing_key.active", second),
            ("signing_key.dropped", first),
        ]
    )
    assert sorted(told[3:5]) == [("signing_key.active", third), ("signing_key.retired", second)]
    assert told[5:] == [("keys.resealed", None)]
