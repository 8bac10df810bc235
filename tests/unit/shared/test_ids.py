"""Identifiers and request ids."""

from __future__ import annotations

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
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


def test_threads_draw_side_by_side() -> None:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as threads:
            drawn = list(threads.map(lambda _: [uuid7() for _ in range(2_000)], range(4)))
    finally:
        sys.setswitchinterval(before)
    assert len({one for some in drawn for one in some}) == 8_000


# The last 62 bits are chance alone, whatever the time.
FORK = """
import os
from shared.ids import uuid7
uuid7()
child = os.fork()
if child:
    os.waitpid(child, 0)
print(uuid7().int & (1 << 62) - 1, flush=True)
if not child:
    os._exit(0)
"""


def test_a_fork_draws_for_itself() -> None:
    # In a process of its own: one with threads had better not fork.
    done = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True, check=True)
    ours, theirs = done.stdout.split()
    assert ours != theirs
