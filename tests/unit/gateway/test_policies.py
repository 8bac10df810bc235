"""Which policies a request is held to, and how they are named."""

from __future__ import annotations

import time

import pytest

from services.gateway.limits.policies import (
    Key,
    PolicyBook,
    RouteRule,
    listing,
    parse_rate,
    policies_of,
    subjects,
)
from services.gateway.limits.quota import Standing, lines
from shared.identity import Tier
from tests.unit.gateway.exchanges import principal
from tests.unit.gateway.policies import policy

ANONYMOUS, DEFAULT = policy("60/minute", "anonymous"), policy("100/minute", "default")
LOGIN = policy("10/minute", "login", key=Key.ADDRESS)
UPLOADS = policy("5/hour", "uploads")
BOOK = PolicyBook(
    {Tier.ANONYMOUS: (ANONYMOUS,), Tier.DEFAULT: (DEFAULT,)},
    [
        RouteRule("POST", "/auth/login", 1, (LOGIN,)),
        RouteRule("*", "/files/*", 1, (UPLOADS,)),
        RouteRule("GET", "/reports", 5, ()),
    ],
)


@pytest.mark.parametrize(
    ("tier", "method", "path", "names", "cost"),
    [
        (Tier.ANONYMOUS, "GET", "/tasks", ["anonymous"], 1),
        (Tier.DEFAULT, "GET", "/tasks", ["default"], 1),
        (Tier.PREMIUM, "GET", "/tasks", [], 1),
        (Tier.ANONYMOUS, "POST", "/auth/login", ["anonymous", "login"], 1),
        (Tier.ANONYMOUS, "GET", "/auth/login", ["anonymous"], 1),
        (Tier.ANONYMOUS, "POST", "/auth/login/x", ["anonymous"], 1),
        (Tier.ANONYMOUS, "POST", "/auth/loginx", ["anonymous"], 1),
        (Tier.DEFAULT, "PUT", "/files/a/b", ["default", "uploads"], 1),
        (Tier.DEFAULT, "PUT", "/files", ["default"], 1),
        (Tier.DEFAULT, "PUT", "/filesystem", ["default"], 1),
        (Tier.DEFAULT, "GET", "/reports", ["default"], 5),
        (Tier.DEFAULT, "HEAD", "/reports", ["default"], 5),
        (Tier.DEFAULT, "POST", "/reports", ["default"], 1),
    ],
)
def test_what_applies(tier: Tier, method: str, path: str, names: list[str], cost: int) -> None:
    applied = BOOK.applying(tier, method, path)
    assert [one.name for one in applied.policies] == names
    assert applied.cost == cost


def test_whom_policies_count() -> None:
    applied = BOOK.applying(Tier.DEFAULT, "POST", "/auth/login")
    caller = principal()
    address = "192.0.2.1"
    assert subjects(applied, None, address) == ("a:192.0.2.1", "a:192.0.2.1")
    assert subjects(applied, caller, address) == (f"u:{caller.user_id.hex}", "a:192.0.2.1")


@pytest.mark.parametrize(
    "rate", ["", "60", "60/", "/minute", "0/minute", "-1/minute", "1.5/minute", "60/week",
             "60 / minute", "060/minute", "1000000000/second", "1/MINUTE"],
)  # fmt: skip
def test_bad_rates(rate: str) -> None:
    with pytest.raises(ValueError, match="must be"):
        parse_rate(rate)


def test_names_tell_several_rates_apart() -> None:
    assert [one.name for one in policies_of("t", ["1/second", "9/day"])] == ["t-second", "t-day"]


def shown(standings: list[Standing]) -> list[tuple[bytes, bytes]]:
    """The fields that tell of `standings`, read back."""
    text = lines(standings, listing(standing.policy for standing in standings))
    *fields, end = text.split(b"\r\n")
    assert end == b""
    return [(name, value) for name, _, value in (line.partition(b": ") for line in fields)]


def test_fields_name_the_tightest_and_list_all() -> None:
    standings = [
        Standing(ANONYMOUS, remaining=50, reset=9_000_001, retry_after=0),
        Standing(LOGIN, remaining=3, reset=42_000_000, retry_after=0),
    ]
    found = dict(shown(standings))
    assert found[b"x-ratelimit-limit"] == b"10"
    assert found[b"x-ratelimit-remaining"] == b"3"
    assert found[b"ratelimit-policy"] == b'"anonymous";q=60;w=60, "login";q=10;w=60'
    assert found[b"ratelimit"] == b'"anonymous";r=50;t=10, "login";r=3;t=42'
    assert 40 <= int(found[b"x-ratelimit-reset"]) - time.time() <= 42


def test_of_equals_the_one_that_recovers_last_is_the_tightest() -> None:
    standings = [
        Standing(ANONYMOUS, remaining=0, reset=60_000_000, retry_after=1_000_000),
        Standing(LOGIN, remaining=0, reset=60_000_000, retry_after=6_000_000),
    ]
    assert dict(shown(standings))[b"x-ratelimit-limit"] == b"10"


def test_no_policy_no_fields() -> None:
    assert lines([], "") == b""
