import base64
from collections.abc import Iterator

import bcrypt
import pytest
from argon2 import PasswordHasher
from prometheus_client import CollectorRegistry

from services.auth.passwords.governor import HashGovernor
from services.auth.passwords.hashing import Passwords
from services.auth.passwords.peppers import Peppers

OLD = "old:" + base64.b64encode(b"o" * 32).decode()
NEW = "new:" + base64.b64encode(b"n" * 32).decode()
PASSWORD = "seven-lazy-otters-paint"


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def governor(registry: CollectorRegistry) -> Iterator[HashGovernor]:
    governor = HashGovernor(registry, workers=1, queue=10, queue_seconds=10)
    yield governor
    governor.close()


@pytest.fixture
def passwords(governor: HashGovernor) -> Passwords:
    return Passwords(governor, Peppers())


def checks(registry: CollectorRegistry) -> float:
    return registry.get_sample_value("hash_duration_seconds_count", {"operation": "verify"}) or 0


@pytest.mark.parametrize(
    "stored",
    [
        None,
        "",
        "plain",
        "$argon2id$v=19$m=4194304,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$AAAAAAAAAAAAAAAAAAAAAA",
        "$argon2id$v=19$m=19456,t=4000000,p=1$c29tZXNhbHRzb21lc2FsdA$AAAAAAAAAAAAAAAAAAAAAA",
        "$argon2id$v=19$m=19456,t=2,p=16777215$c29tZXNhbHRzb21lc2FsdA$AAAAAAAAAAAAAAAAAAAAAA",
        "$argon2i$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$AAAAAAAAAAAAAAAAAAAAAA",
        "$argon2id$v=19$m=19456,t=2,p=1$not base64$AAAA",
        "$2b$04$abcdefghijklmnopqrstuuAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "$2b$13$abcdefghijklmnopqrstuuAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "$2b$31$abcdefghijklmnopqrstuuAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "$2x$04$abcdefghijklmnopqrstuuAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "$2b$04$abcdefghijklmnopqrstuu",
        "$2b$04$!!!!!!!!!!!!!!!!!!!!!!AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "pepper=gone$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$AAAAAAAAAAAAAAAAAAAAAA",
        "pepper=",
    ],
)
async def test_nothing_matches_a_hash_that_is_missing_broken_or_too_dear_and_it_costs_one_check(
    passwords: Passwords, registry: CollectorRegistry, stored: str | None
) -> None:
    assert await passwords.verify(PASSWORD, stored) is False
    assert checks(registry) == 1


async def test_only_the_password_matches_its_hash(passwords: Passwords) -> None:
    stored = await passwords.hash(PASSWORD)
    assert await passwords.verify(PASSWORD, stored)
    for wrong in ("", PASSWORD + " ", PASSWORD.upper(), PASSWORD[:-1], PASSWORD + "\x00"):
        assert not await passwords.verify(wrong, stored)
    assert stored != await passwords.hash(PASSWORD)
    assert not passwords.is_outdated(stored)


async def test_every_code_point_of_a_long_password_counts(passwords: Passwords) -> None:
    stored = await passwords.hash("é" * 127 + "a")
    assert not await passwords.verify("é" * 127 + "b", stored)


async def test_a_hash_of_other_parameters_is_right_and_outdated(passwords: Passwords) -> None:
    stored = PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1).hash(PASSWORD)
    assert await passwords.verify(PASSWORD, stored)
    assert passwords.is_outdated(stored)


@pytest.mark.parametrize("form", ["$2a$", "$2b$", "$2y$"])
async def test_a_hash_of_bcrypt_is_checked_and_outdated(passwords: Passwords, form: str) -> None:
    made = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    stored = form + made.removeprefix("$2b$")
    assert await passwords.verify(PASSWORD, stored)
    for wrong in ("", PASSWORD + " ", PASSWORD[:-1], PASSWORD + "\x00"):
        assert not await passwords.verify(wrong, stored)
    assert passwords.is_outdated(stored)
    assert (await passwords.hash(PASSWORD)).startswith("$argon2id$")


async def test_bcrypt_takes_no_password_that_it_would_cut_off(passwords: Passwords) -> None:
    stored = bcrypt.hashpw(b"x" * 72, bcrypt.gensalt(4)).decode()
    assert await passwords.verify("x" * 72, stored)
    assert not await passwords.verify("x" * 73, stored)
    assert not await passwords.verify("x" * 71 + "é", stored)


async def test_a_pepper_is_needed_to_verify_and_can_be_replaced(governor: HashGovernor) -> None:
    plain = Passwords(governor, Peppers())
    old = Passwords(_second(), Peppers.parse(OLD))
    both = Passwords(_second(), Peppers.parse(f"{NEW},{OLD}"))
    without_old = Passwords(_second(), Peppers.parse(NEW))
    stored = await old.hash(PASSWORD)
    assert stored.startswith("pepper=old$argon2id$")
    assert await old.verify(PASSWORD, stored)
    assert await both.verify(PASSWORD, stored)
    assert both.is_outdated(stored)
    assert not await without_old.verify(PASSWORD, stored)
    assert not await plain.verify(PASSWORD, stored)
    unpeppered = await plain.hash(PASSWORD)
    assert await both.verify(PASSWORD, unpeppered)
    assert both.is_outdated(unpeppered)


def _second() -> HashGovernor:
    return HashGovernor(CollectorRegistry(), workers=1, queue=10, queue_seconds=10)
