"""Ejection, recovery, the breaker and the retry budget, by a clock of the test's own."""

from __future__ import annotations

from services.gateway.upstream.breaker import Breaker
from services.gateway.upstream.health import Health, HealthSettings
from services.gateway.upstream.retry import RetryBudget

SETTINGS = HealthSettings(
    eject_after=3, base_ejection=2, max_ejection=5, forgive_after=10, slow_start=4
)


def fail(health: Health, times: int, now: float) -> None:
    for _ in range(times):
        health.failed(now)


def test_failures_in_a_row_eject() -> None:
    health = Health(SETTINGS)
    fail(health, 2, 0)
    health.succeeded(0)
    fail(health, 2, 0)
    assert not health.is_ejected(0)
    health.failed(0)
    assert health.is_ejected(1.9)
    assert not health.is_ejected(2.0)


def test_each_ejection_is_longer_up_to_a_bound() -> None:
    health, now, lengths = Health(SETTINGS), 0.0, []
    for _ in range(4):
        fail(health, 3, now)
        lengths.append(health.ejected_until - now)
        now = health.ejected_until
        assert not health.is_ejected(now)
    assert lengths == [2, 4, 5, 5]


def test_health_is_forgiving() -> None:
    health = Health(SETTINGS)
    fail(health, 3, 0)
    assert not health.is_ejected(2)
    states = []
    for now in (3, 13):
        health.succeeded(now)
        states.append(health.clean)
    assert states == [False, True]
    fail(health, 3, 20)
    assert health.ejected_until == 22


def test_late_failures_of_an_ejected_endpoint_do_not_count() -> None:
    health = Health(SETTINGS)
    fail(health, 12, 0)
    assert health.ejected_until == 2


def test_slow_start() -> None:
    health = Health(SETTINGS)
    assert health.weight(0) == 1
    fail(health, 3, 0)
    assert not health.is_ejected(2)
    assert [health.weight(now) for now in (2, 3, 4, 6, 9)] == [0.1, 0.25, 0.5, 1, 1]


def test_answer_ends_an_ejection() -> None:
    """It was asked in spite of it, as there was no better one."""
    health = Health(SETTINGS)
    fail(health, 3, 0)
    health.succeeded(1)
    assert not health.is_ejected(1)


def test_failed_check_ejects_until_one_passes() -> None:
    health = Health(SETTINGS)
    health.check_failed()
    health.check_failed()
    assert health.is_ejected(1e9)
    health.check_passed(100)
    assert not health.is_ejected(100)
    assert health.weight(102) == 0.5


def test_passed_check_does_not_excuse_failed_requests() -> None:
    health = Health(SETTINGS)
    fail(health, 3, 0)
    health.check_passed(1)
    assert health.is_ejected(1)


def test_breaker_lets_one_probe_at_a_time_through() -> None:
    breaker = Breaker(threshold=2, open_seconds=1)
    breaker.failed(0)
    assert breaker.admits(0)
    breaker.failed(0)
    states = [breaker.is_open]
    assert not breaker.admits(0.5)
    assert breaker.admits(1.0)
    assert not breaker.admits(1.5)
    breaker.failed(1.6)
    assert not breaker.admits(2.5)
    assert breaker.admits(2.6)
    breaker.succeeded()
    states.append(breaker.is_open)
    assert states == [True, False]
    assert breaker.admits(2.6)
    assert breaker.opened == 1


def test_probe_that_is_never_heard_of_again_blocks_nobody() -> None:
    breaker = Breaker(threshold=1, open_seconds=1)
    breaker.failed(0)
    assert breaker.admits(1)
    assert breaker.admits(2)


def test_threshold_of_none() -> None:
    breaker = Breaker(threshold=0)
    for _ in range(1000):
        breaker.failed(0)
    assert breaker.admits(0)
    assert not breaker.is_open


def test_retry_budget() -> None:
    budget = RetryBudget(share=0.2, minimum=3)
    assert [budget.take(1) for _ in range(4)] == [True, True, True, False]
    assert [budget.take(30) for _ in range(4)] == [True, True, True, False]
    budget.give_back(4)
    assert budget.take(1)
    assert not budget.take(1)
