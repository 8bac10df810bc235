"""The eager driver, on both event loops."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest
import uvloop

from services.gateway import eager

LOOPS: list[Callable[[], asyncio.AbstractEventLoop]] = [
    asyncio.SelectorEventLoop,
    uvloop.new_event_loop,
]


@pytest.fixture(params=LOOPS, ids=["asyncio", "uvloop"])
def loop(request: pytest.FixtureRequest) -> Any:
    loop = request.param()
    yield loop
    loop.close()


def drive(
    loop: asyncio.AbstractEventLoop,
    make: Callable[[], Coroutine[Any, Any, Any]],
    then: Callable[[asyncio.Task[Any]], object] = lambda task: None,
) -> tuple[bool, Any]:
    """Runs `make()` from a callback; says whether it took a task, and its result or error."""
    done = loop.create_future()

    def settle(task: asyncio.Task[Any]) -> None:
        if task.cancelled():
            done.set_result((True, asyncio.CancelledError()))
        else:
            done.set_result((True, task.exception() or task.result()))

    def step() -> None:
        try:
            outcome = eager.run(make(), loop)
        except Exception as error:  # noqa: BLE001 - it is what the test looks at
            done.set_result((False, error))
            return
        if isinstance(outcome, asyncio.Task):
            outcome.add_done_callback(settle)
            then(outcome)
        else:
            done.set_result((False, outcome))

    loop.call_soon(step)
    result: tuple[bool, Any] = loop.run_until_complete(asyncio.wait_for(done, 5))
    return result


def test_no_task_without_waiting(loop: asyncio.AbstractEventLoop) -> None:
    async def answer() -> int:
        return 7

    assert drive(loop, answer) == (False, 7)


def test_error_before_waiting_comes_out_at_once(loop: asyncio.AbstractEventLoop) -> None:
    async def fail() -> int:
        raise ValueError("no")

    took_task, error = drive(loop, fail)
    assert not took_task
    assert isinstance(error, ValueError)


@pytest.mark.parametrize("pauses", [1, 3])
def test_goes_on_after_waiting(loop: asyncio.AbstractEventLoop, pauses: int) -> None:
    async def answer() -> str:
        for _ in range(pauses):
            await asyncio.sleep(0.001)
        return "late"

    assert drive(loop, answer) == (True, "late")


def test_bare_yield(loop: asyncio.AbstractEventLoop) -> None:
    async def answer() -> str:
        await asyncio.sleep(0)
        return "late"

    assert drive(loop, answer) == (True, "late")


def test_error_of_the_awaited_future_reaches_the_coroutine(
    loop: asyncio.AbstractEventLoop,
) -> None:
    async def answer() -> str:
        future: asyncio.Future[None] = loop.create_future()
        loop.call_soon(future.set_exception, OSError("gone"))
        try:
            await future
        except OSError as error:
            return f"caught {error}"
        return "missed"

    assert drive(loop, answer) == (True, "caught gone")


def test_error_after_waiting(loop: asyncio.AbstractEventLoop) -> None:
    async def fail() -> None:
        await asyncio.sleep(0)
        raise ValueError("no")

    took_task, error = drive(loop, fail)
    assert took_task
    assert isinstance(error, ValueError)


def test_cancelled_before_the_task_took_over(loop: asyncio.AbstractEventLoop) -> None:
    seen = []

    async def wait() -> None:
        try:
            await loop.create_future()
        except BaseException as error:
            seen.append(type(error))
            raise

    took_task, error = drive(loop, wait, then=lambda task: task.cancel())
    assert took_task
    assert isinstance(error, asyncio.CancelledError)
    assert seen == [asyncio.CancelledError]


def test_cancelled_while_waiting(loop: asyncio.AbstractEventLoop) -> None:
    cleaned = []

    async def wait() -> None:
        try:
            await loop.create_future()
        finally:
            cleaned.append(True)

    def cancel_later(task: asyncio.Task[Any]) -> None:
        loop.call_later(0.01, task.cancel)

    took_task, error = drive(loop, wait, then=cancel_later)
    assert took_task
    assert isinstance(error, asyncio.CancelledError)
    assert cleaned == [True]


async def _timeout(pause: Awaitable[Any]) -> str:
    try:
        async with asyncio.timeout(0.01):
            await pause
    except TimeoutError:
        return "timed out"
    return "in time"


def test_timeout_entered_in_the_first_step(loop: asyncio.AbstractEventLoop) -> None:
    assert drive(loop, lambda: _timeout(asyncio.sleep(5))) == (True, "timed out")


def test_timeout_that_is_not_needed(loop: asyncio.AbstractEventLoop) -> None:
    async def nothing() -> None:
        return None

    assert drive(loop, lambda: _timeout(nothing())) == (False, "in time")


def test_first_step_has_a_current_task_and_leaves_none(loop: asyncio.AbstractEventLoop) -> None:
    async def name() -> bool:
        return asyncio.current_task() is not None

    assert drive(loop, name) == (False, True)
    after: asyncio.Future[Any] = loop.create_future()
    loop.call_soon(lambda: after.set_result(asyncio.current_task(loop)))
    assert loop.run_until_complete(after) is None
