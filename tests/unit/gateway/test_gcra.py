"""GCRA against a model that could not be simpler: a bucket of exact fractions."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.limits.gcra import Verdict, interval_of, judge


class Bucket:
    """A token bucket in exact arithmetic: `burst` tokens, one more every `interval`."""

    def __init__(self, interval: int, burst: int) -> None:
        self.interval, self.burst = interval, burst
        self.tokens, self.at = Fraction(burst), 0

    def take(self, now: int, cost: int) -> bool:
        earned = Fraction(now - self.at, self.interval)
        self.tokens, self.at = min(Fraction(self.burst), self.tokens + earned), now
        if self.tokens < cost:
            return False
        self.tokens -= cost
        return True


steps = st.lists(st.tuples(st.integers(0, 5_000), st.integers(0, 4)), max_size=200)


@given(st.integers(1, 1_000), st.integers(1, 10), steps)
def test_agrees_with_a_token_bucket(
    interval: int, burst: int, requests: list[tuple[int, int]]
) -> None:
    bucket, arrival, now = Bucket(interval, burst), 0, 0
    for pause, cost in requests:
        now += pause
        verdict = judge(arrival, now, interval, burst, cost)
        assert (verdict.retry_after == 0) == bucket.take(now, cost)
        assert verdict.remaining == int(bucket.tokens)
        if not verdict.retry_after:
            arrival = verdict.arrival


@given(st.integers(1, 1_000), st.integers(1, 10), steps)
def test_never_admits_more_than_burst_and_rate(
    interval: int, burst: int, requests: list[tuple[int, int]]
) -> None:
    arrival, now = 0, 1_000_000
    admitted: list[tuple[int, int]] = []
    for pause, cost in requests:
        now += pause
        verdict = judge(arrival, now, interval, burst, cost)
        if cost and not verdict.retry_after:
            arrival = verdict.arrival
            admitted.append((now, cost))
    for first in range(len(admitted)):
        spent = 0
        for at, cost in admitted[first:]:
            spent += cost
            assert spent <= burst + (at - admitted[first][0]) // interval


@given(st.integers(1, 10_000), st.integers(1, 50), st.integers(0, 10**7), st.integers(1, 50))
def test_retry_after_is_exact(interval: int, burst: int, debt: int, cost: int) -> None:
    now = 1_000_000_000
    verdict = judge(now + debt, now, interval, burst, cost)
    if verdict.retry_after == 0 or cost > burst:
        return
    later = now + verdict.retry_after
    assert judge(now + debt, later, interval, burst, cost).retry_after == 0
    assert judge(now + debt, later - 1, interval, burst, cost).retry_after > 0


def test_a_look_changes_nothing() -> None:
    assert judge(1_500, 1_000, 100, 10, 0) == Verdict(1_500, 5, 500, 0)


@pytest.mark.parametrize(
    ("count", "period_us", "interval"), [(60, 60_000_000, 1_000_000), (7, 60_000_000, 8_571_429)]
)
def test_the_interval_is_rounded_against_the_caller(
    count: int, period_us: int, interval: int
) -> None:
    assert interval_of(count, period_us) == interval
