import asyncio
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from services.auth.key_pairs import thumbprint
from services.auth.keys import Seal
from shared.jwks import parse_key_set
from tests.service.auth.conftest import Auth, Start


async def add_key(auth: Auth, state: str) -> str:
    """Puts another key into the table and returns its id."""
    key = rsa.generate_private_key(65_537, 2048)
    private = key.private_bytes(
        serialization.Encoding.DER,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    kid = thumbprint(key.public_key())
    await auth.sql(
        "INSERT INTO signing_keys (kid, private_key, state, created_at) VALUES ($1, $2, $3, now())",
        kid,
        private,
        state,
    )
    return kid


def kid_of(grant: dict[str, Any]) -> str:
    return str(jwt.get_unverified_header(grant["access_token"])["kid"])


async def test_the_key_set_is_public_cacheable_and_holds_no_private_part(auth: Auth) -> None:
    answer = await auth.client.get("/.well-known/jwks.json")
    assert answer.status == 200
    assert answer.headers["Cache-Control"] == "public, max-age=300"
    assert answer.content_type == "application/json"
    [key] = (await answer.json())["keys"]
    assert set(key) == {"kid", "use", "alg", "kty", "n", "e"}
    assert list(parse_key_set(await answer.read())) == [key["kid"]]
    assert (await auth.client.head("/.well-known/jwks.json")).status == 200


async def test_replicas_that_start_at_once_make_one_key(start: Start) -> None:
    replicas = await asyncio.gather(*(start(makes_its_key=True) for _ in range(4)))
    rows = await replicas[0].sql("SELECT state FROM signing_keys")
    assert [row["state"] for row in rows] == ["active"]
    assert len(await replicas[0].sql("SELECT 1 FROM sealing_keys")) == len(Seal)
    grant = await replicas[0].register()
    for replica in replicas:
        assert (await replica.profile(grant["access_token"])).status == 200
    for replica in replicas[1:]:
        assert (await replica.refresh(grant["refresh_token"])).status == 200


async def test_a_later_start_takes_the_keys_that_are_there(start: Start) -> None:
    before = await start(makes_its_key=True)
    grant = await before.register()
    await before.client.close()
    after = await start()
    assert (await after.profile(grant["access_token"])).status == 200
    assert (await after.refresh(grant["refresh_token"])).status == 200
    assert kid_of(await after.register()) == kid_of(grant)


async def test_keys_to_come_and_keys_retired_are_published_and_only_the_active_one_signs(
    start: Start,
) -> None:
    first = await start()
    grant = await first.register()
    coming = await add_key(first, "next")
    second = await start()
    published = await (await second.client.get("/.well-known/jwks.json")).json()
    assert {key["kid"] for key in published["keys"]} == {kid_of(grant), coming}
    assert kid_of(await second.register()) == kid_of(grant)
    await second.sql("UPDATE signing_keys SET state = 'retired' WHERE state = 'active'")
    await second.sql("UPDATE signing_keys SET state = 'active' WHERE state = 'next'")
    third = await start()
    assert kid_of(await third.register()) == coming
    assert (await third.profile(grant["access_token"])).status == 200


async def test_a_replica_learns_a_key_that_another_rotated_to_when_it_meets_it(
    start: Start,
) -> None:
    behind = await start()
    await behind.register()
    await behind.sql("UPDATE signing_keys SET state = 'retired'")
    await add_key(behind, "active")
    ahead = await start()
    grant = await ahead.register()
    # Its key set is seconds old, and unknown ids cause a fetch only after a pause.
    behind.client.app[_keys()].published._tried_at = None
    assert (await behind.profile(grant["access_token"])).status == 200
    assert kid_of(await behind.register()) == kid_of(grant)


async def test_without_an_active_key_one_is_made_and_its_age_is_exported(start: Start) -> None:
    auth = await start()
    grant = await auth.register()
    name = "signing_key_created_timestamp_seconds"
    before = auth.registry.get_sample_value(name)
    assert before is not None
    await auth.sql("UPDATE signing_keys SET created_at = created_at - interval '1 day'")
    await auth.client.app[_keys()].published.refresh()
    assert auth.registry.get_sample_value(name) == before - 86_400
    # What the page of the alert SigningKeyOld has people do.
    await auth.sql("UPDATE signing_keys SET state = 'retired' WHERE state = 'active'")
    await auth.client.app[_keys()].published.refresh()
    assert kid_of(await auth.register()) != kid_of(grant)
    assert (await auth.profile(grant["access_token"])).status == 200
    renewed = auth.registry.get_sample_value(name)
    assert renewed is not None
    assert renewed > before


def _keys() -> Any:
    from services.auth.handlers import KEYS  # noqa: PLC0415 - only this test looks inside

    return KEYS
