"""The limiter of one process."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.gateway.limits.gcra import judge
from services.gateway.limits.memory import Counters, MemoryLimiter
from tests.unit.gateway.policies import Clock, applied, policy


def test_refuses_what_exceeds_the_burst_and_admits_again_when_earned() -> None:
    clock = Clock()
    limiter = MemoryLimiter(now=clock)
    request = applied(policy("3/minute"))
    assert [limiter.spend(request, ("u:1",), 1).allowed for _ in range(4)] == [True] * 3 + [False]
    clock.pass_seconds(19.999_999)
    assert not limiter.spend(request, ("u:1",), 1).allowed
    clock.pass_seconds(0.000_001)
    assert limiter.spend(request, ("u:1",), 1).allowed


def test_subjects_do_not_share() -> None:
    limiter = MemoryLimiter(now=Clock())
    request = applied(policy("1/minute"))
    assert limiter.spend(request, ("u:1",), 1).allowed
    assert limiter.spend(request, ("u:2",), 1).allowed
    assert not limiter.spend(request, ("u:1",), 1).allowed


def test_a_refusal_consumes_nothing_of_any_policy() -> None:
    limiter = MemoryLimiter(now=Clock())
    day, minute = policy("100/day", "day"), policy("1/minute", "minute")
    both = applied(day, minute)
    assert limiter.spend(both, ("u:1", "u:1"), 1).allowed
    for _ in range(50):
        quota = limiter.spend(both, ("u:1", "u:1"), 1)
        assert not quota.allowed
        assert [standing.policy for standing in quota.violated] == [minute]
        assert [standing.remaining for standing in quota.enforced] == [99, 0]


def test_a_cost_that_does_not_fit_is_refused_whole() -> None:
    limiter = MemoryLimiter(now=Clock())
    request = applied(policy("10/minute"), cost=4)
    allowed = [limiter.spend(request, ("u:1",), 4).allowed for _ in range(3)]
    assert allowed == [True, True, False]
    assert limiter.spend(request, ("u:1",), 2).allowed


def test_a_shadow_policy_reports_and_refuses_nothing() -> None:
    limiter = MemoryLimiter(now=Clock())
    request = applied(policy("5/minute", "real"), policy("1/minute", "shadow", shadow=True))
    quotas = [limiter.spend(request, ("u:1", "u:1"), 1) for _ in range(3)]
    assert all(quota.allowed for quota in quotas)
    assert [quota.shadow[0].retry_after > 0 for quota in quotas] == [False, True, True]
    assert [standing.policy.name for standing in quotas[0].enforced] == ["real"]


def test_a_look_costs_nothing() -> None:
    limiter = MemoryLimiter(now=Clock())
    request = applied(policy("1/minute"))
    for _ in range(5):
        assert limiter.spend(request, ("u:1",), 0).enforced[0].remaining == 1
    assert limiter.spend(request, ("u:1",), 1).allowed
    assert limiter.spend(request, ("u:1",), 0).enforced[0].remaining == 0


def test_memory_is_bounded_by_active_keys() -> None:
    clock = Clock()
    counters = Counters(refill_us=1_000_000, max_keys=1_000_000)
    for key in range(5_000):
        clock.pass_seconds(0.01)
        counters.put(str(key), clock.now + 1, clock.now)
        counters.debt(str(key), clock.now)
    # A refill takes 1 s, so at 100 keys a second at most two seconds of keys are held.
    assert len(counters) <= 201


def test_memory_is_bounded_under_a_flood_of_keys() -> None:
    clock = Clock()
    counters = Counters(refill_us=10**12, max_keys=100)
    for key in range(10_000):
        counters.put(str(key), clock.now + 10**12, clock.now)
    assert len(counters) <= 200
    assert counters.debt("9999", clock.now) > 0


moves = st.lists(
    st.tuples(st.integers(0, 3_000_000), st.sampled_from("abc"), st.integers(0, 3)), max_size=150
)


@given(moves)
def test_forgetting_is_never_noticed(requests: list[tuple[int, str, int]]) -> None:
    """Dropping a generation loses no debt: the same verdicts as with a table that keeps all."""
    clock = Clock()
    limiter = MemoryLimiter(now=clock)
    rule = policy("4/second")
    kept: dict[str, int] = {}
    for pause, subject, cost in requests:
        clock.now += pause
        quota = limiter.spend(applied(rule), (subject,), cost)
        verdict = judge(kept.get(subject, 0), clock.now, rule.interval_us, rule.count, cost)
        if not verdict.retry_after:
            kept[subject] = verdict.arrival
        standing = quota.enforced[0]
        assert (standing.remaining, standing.reset, standing.retry_after) == verdict[1:]
