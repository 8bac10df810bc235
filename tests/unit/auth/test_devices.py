"""Device cookies: good for one account, for a time, and never for more than recognition."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from services.auth.devices import Devices
from services.auth.keys import Seal

ADA = "ada@example.com"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
LIFE = timedelta(days=180)


class Ring:
    """Sealing keys, one per purpose."""

    def __init__(self, seed: str = "") -> None:
        self._seed = seed

    def sealing(self, purpose: Seal) -> bytes:
        return f"{self._seed}{purpose.value}".encode()


DEVICES = Devices(Ring(), LIFE)  # type: ignore[arg-type]  # it reads nothing else of a key ring
GOOD = DEVICES.issue(ADA, NOW)


def test_a_device_is_recognised_for_its_account_until_its_time_is_over() -> None:
    name = DEVICES.recognise(GOOD, ADA, NOW)
    assert name is not None
    assert DEVICES.recognise(GOOD, ADA, NOW + LIFE - timedelta(seconds=1)) == name
    assert DEVICES.recognise(GOOD, ADA, NOW + LIFE) is None
    assert DEVICES.recognise(GOOD, "grace@example.com", NOW) is None


def test_each_login_makes_another_device() -> None:
    cookies = [DEVICES.issue(ADA, NOW) for _ in range(100)]
    assert len({DEVICES.recognise(cookie, ADA, NOW) for cookie in cookies}) == 100


def test_nobody_else_makes_one() -> None:
    elsewhere = Devices(Ring("other"), LIFE)  # type: ignore[arg-type]  # as above
    assert DEVICES.recognise(elsewhere.issue(ADA, NOW), ADA, NOW) is None


@pytest.mark.parametrize("position", range(4, len(GOOD), 5))
def test_an_edited_cookie_is_none(position: int) -> None:
    other = "A" if GOOD[position] != "A" else "B"
    assert DEVICES.recognise(GOOD[:position] + other + GOOD[position + 1 :], ADA, NOW) is None


@pytest.mark.parametrize(
    "junk", [None, "", "tld_", GOOD[:-4], GOOD + "AAAA", "tld_é", "x" * 100_000, GOOD[4:]],
    ids=["none", "empty", "prefix", "cut", "longer", "latin-1", "huge", "bare"],
)  # fmt: skip
def test_junk_is_none(junk: str | None) -> None:
    assert DEVICES.recognise(junk, ADA, NOW) is None
