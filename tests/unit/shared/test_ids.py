"""Identifiers and request ids."""

from __future__ import annotations

import time
from datetime import timedelta
from uuid import RFC_4122

import pytest

from shared.clock import utc_now
from shared.ids import uuid7
from shared.request_id import accept_request_id, new_request_id


@pytest.mark.parametrize(
    "offered",
    [
        None,
        "",
        "x" * 129,
        "a\nb",
        "a\x00b",
        "a\tb",
        "\x7f",
        "é",
        "\u2028",
        "\udc80",
        "😀",
    ],
)
def test_an_id_that_is_no_good_is_replaced(offered: str | None) -> None:
    given = accept_request_id(offered)
    assert given != offered
    assert len(given) == 32
    assert int(given, 16)


@pytest.mark.parametrize("offered", ["a", "x" * 128, "a b", "0199-{}[]~!", "<script>"])
def test_a_good_id_is_kept(offered: str) -> None:
    assert accept_request_id(offered) == offered


def test_ids_sort_by_time_and_never_repeat() -> None:
    before = time.time_ns() // 1_000_000
    made = [uuid7() for _ in range(10_000)]
    after = time.time_ns() // 1_000_000
    assert len(set(made)) == len(made)
    milliseconds = [one.int >> 80 for one in made]
    assert milliseconds == sorted(milliseconds)
    assert before <= milliseconds[0] <= milliseconds[-1] <= after
    assert {(one.version, one.variant) for one in made} == {(7, RFC_4122)}


def test_request_ids_differ() -> None:
    assert len({new_request_id() for _ in range(1000)}) == 1000


def test_times_are_aware_and_in_utc() -> None:
    assert utc_now().utcoffset() == timedelta(0)
