import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures

import pytest
from prometheus_client import CollectorRegistry

from services.auth.passwords.governor import HashGovernor
from shared.errors import ServiceUnavailable


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """Work that waits for this event keeps its thread until the test lets go."""
    gate = threading.Event()
    yield gate
    gate.set()


def new(registry: CollectorRegistry, *, queue: int, seconds: float = 30.0) -> HashGovernor:
    return HashGovernor(registry, workers=1, queue=queue, queue_seconds=seconds)


def shed(registry: CollectorRegistry) -> float | None:
    return registry.get_sample_value("hash_shed_total")


def waiting(registry: CollectorRegistry) -> float | None:
    return registry.get_sample_value("hash_queue_depth")


async def test_one_more_than_the_queue_holds_is_refused_at_once(
    registry: CollectorRegistry, gate: threading.Event
) -> None:
    governor = new(registry, queue=2)
    tasks = [asyncio.create_task(governor.run("hash", gate.wait)) for _ in range(3)]
    await asyncio.sleep(0)
    assert waiting(registry) == 2
    with pytest.raises(ServiceUnavailable) as caught:
        await governor.run("hash", gate.wait)
    assert int(caught.value.headers["Retry-After"]) >= 1
    assert shed(registry) == 1
    gate.set()
    assert await asyncio.gather(*tasks) == [True, True, True]
    assert waiting(registry) == 0


async def test_a_queue_of_none_still_runs_what_finds_a_free_thread(
    registry: CollectorRegistry, gate: threading.Event
) -> None:
    governor = new(registry, queue=0)
    assert await governor.run("hash", lambda: 1) == 1
    running = asyncio.create_task(governor.run("hash", gate.wait))
    await asyncio.sleep(0)
    with pytest.raises(ServiceUnavailable):
        await governor.run("hash", gate.wait)
    gate.set()
    await running


async def test_waiting_has_an_end(registry: CollectorRegistry, gate: threading.Event) -> None:
    governor = new(registry, queue=5, seconds=0.02)
    running = asyncio.create_task(governor.run("hash", gate.wait))
    await asyncio.sleep(0)
    with pytest.raises(ServiceUnavailable):
        await governor.run("hash", gate.wait)
    assert (waiting(registry), shed(registry)) == (0, 1)
    gate.set()
    await running
    assert await governor.run("hash", lambda: 2) == 2


async def test_callers_are_served_in_the_order_of_their_coming(
    registry: CollectorRegistry, gate: threading.Event
) -> None:
    governor, served = new(registry, queue=10), list[int]()
    first = asyncio.create_task(governor.run("hash", gate.wait))
    others = [asyncio.create_task(governor.run("hash", served.append, n)) for n in range(10)]
    await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(first, *others)
    assert served == list(range(10))


async def test_a_caller_who_leaves_keeps_his_thread_until_its_work_is_done(
    registry: CollectorRegistry, gate: threading.Event
) -> None:
    governor = new(registry, queue=1)
    running = asyncio.create_task(governor.run("hash", gate.wait))
    await asyncio.sleep(0)
    running.cancel()
    next_one = asyncio.create_task(governor.run("hash", lambda: 3))
    await asyncio.sleep(0.02)
    assert not next_one.done()
    gate.set()
    assert await next_one == 3


async def test_a_failure_in_the_thread_reaches_the_caller_and_frees_it(
    registry: CollectorRegistry,
) -> None:
    governor = new(registry, queue=0)
    with pytest.raises(ZeroDivisionError):
        await governor.run("hash", lambda: 1 // 0)
    assert await governor.run("hash", lambda: 4) == 4


async def test_whoever_is_answered_finds_the_thread_free(
    registry: CollectorRegistry, gate: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread ends its work first and says so a moment later; nobody may go on in between."""

    class Slow(futures.Future[int]):
        def add_done_callback(self, fn: Callable[[futures.Future[int]], object]) -> None:
            super().add_done_callback(fn)
            gate.set()
            while not self.done():
                time.sleep(0.001)

        def _invoke_callbacks(self) -> None:
            time.sleep(0.02)
            super()._invoke_callbacks()  # type: ignore[misc]

    monkeypatch.setattr("concurrent.futures._base.Future", Slow)
    governor = new(registry, queue=0)
    assert await governor.run("hash", gate.wait) is True
    assert await governor.run("hash", gate.wait) is True


async def test_the_loop_runs_on_while_threads_work(
    registry: CollectorRegistry, gate: threading.Event
) -> None:
    governor = new(registry, queue=1)
    running = asyncio.create_task(governor.run("hash", gate.wait))
    turns = 0
    while turns < 100:
        await asyncio.sleep(0)
        turns += 1
    assert not running.done()
    gate.set()
    assert await running


async def test_after_closing_callers_are_refused(registry: CollectorRegistry) -> None:
    governor = new(registry, queue=1)
    governor.close()
    with pytest.raises(ServiceUnavailable):
        await governor.run("hash", lambda: 5)


async def test_who_lined_up_first_goes_first_however_late_he_is_ready(
    registry: CollectorRegistry, gate: threading.Event
) -> None:
    governor, served = new(registry, queue=10), list[int]()
    first = asyncio.create_task(governor.run("hash", gate.wait))
    await asyncio.sleep(0)
    places = [governor.line_up() for _ in range(10)]
    waiting_ones = []
    for number in (7, 2, 9, 0, 4, 8, 1, 6, 3, 5):
        run = places[number].run("hash", served.append, number)
        waiting_ones.append(asyncio.create_task(run))
        await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(first, *waiting_ones)
    assert served == list(range(10))
    assert waiting(registry) == 0


async def test_nobody_waits_for_who_is_not_ready(registry: CollectorRegistry) -> None:
    governor = new(registry, queue=1)
    with governor.line_up() as slow, governor.line_up() as quick:
        assert await quick.run("hash", lambda: 1) == 1
        assert await slow.run("hash", lambda: 2) == 2


async def test_the_newest_is_turned_away_and_a_place_given_up_is_free(
    registry: CollectorRegistry,
) -> None:
    governor = new(registry, queue=2)
    first, *_others = [governor.line_up() for _ in range(3)]
    with pytest.raises(ServiceUnavailable):
        governor.line_up()
    with pytest.raises(ZeroDivisionError), first:
        _ = 1 // 0
    first.leave()
    assert waiting(registry) == 2
    assert await governor.line_up().run("hash", lambda: 6) == 6
    assert (waiting(registry), shed(registry)) == (2, 1)


async def test_whose_turn_would_come_too_late_is_turned_away_at_once(
    registry: CollectorRegistry,
) -> None:
    governor = new(registry, queue=100, seconds=2.5)
    for _ in range(3):
        governor._latest_seconds.append(1.0)
    governor._latest_seconds.append(50.0)  # one pause of the machine turns nobody away
    places = [governor.line_up() for _ in range(3)]
    with pytest.raises(ServiceUnavailable) as caught:
        governor.line_up()
    assert caught.value.headers["Retry-After"] == "3"
    for place in places:
        place.leave()
    assert await governor.run("hash", lambda: 7) == 7


async def test_the_turn_of_who_left_is_the_next_ones(
    registry: CollectorRegistry, gate: threading.Event
) -> None:
    """Also when he leaves in the moment in which he is called."""
    governor = new(registry, queue=5)
    running = asyncio.create_task(governor.run("hash", gate.wait))
    await asyncio.sleep(0)
    leaving = [asyncio.create_task(governor.run("hash", lambda: 8)) for _ in range(2)]
    staying = asyncio.create_task(governor.run("hash", lambda: 9))
    await asyncio.sleep(0)
    leaving[0].cancel()
    await asyncio.sleep(0)
    governor._ready[min(governor._ready)].add_done_callback(lambda _: leaving[1].cancel())
    gate.set()
    assert await running
    assert await staying == 9
    assert all(task.cancelled() for task in leaving)
    assert waiting(registry) == 0
    assert await governor.run("hash", lambda: 10) == 10
