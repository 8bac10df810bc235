"""Runs a coroutine on the spot, and makes a task only of one that has to wait.

A task costs as much as the rest of a simple request. Python 3.12 has eager tasks, but 3.11 does
not, and they cost a Task object even where nothing waits; this does the same on every version with
the parts that asyncio documents for other implementations of tasks.
"""

from __future__ import annotations

import asyncio
from asyncio.tasks import _enter_task, _leave_task  # "Extending asyncio" in its documentation
from collections.abc import Coroutine, Generator
from typing import Any, TypeVar

T = TypeVar("T")


class _Stand:
    """Is the current task during the first step, and stands for the real one from then on.

    `asyncio.timeout` and its like remember the task in which they were entered, to cancel it.
    """

    __slots__ = ("__weakref__", "task")

    def __init__(self) -> None:
        self.task: asyncio.Task[Any] | None = None

    def cancel(self, msg: object = None) -> bool:
        return self.task is not None and self.task.cancel(msg)

    def cancelling(self) -> int:
        return self.task.cancelling() if self.task is not None else 0

    def uncancel(self) -> int:
        return self.task.uncancel() if self.task is not None else 0

    def done(self) -> bool:
        return self.task is not None and self.task.done()

    def get_name(self) -> str:
        return self.task.get_name() if self.task is not None else "eager"


class _Rest(Coroutine[Any, Any, T]):
    """What is left of a coroutine that has yielded `waits_for` already."""

    __slots__ = ("_coroutine", "_waits_for")

    def __init__(self, coroutine: Coroutine[Any, Any, T], waits_for: Any) -> None:
        self._coroutine = coroutine
        self._waits_for = [waits_for]

    def send(self, value: Any) -> Any:
        # The future still has its _asyncio_future_blocking mark, as nobody has looked at it yet:
        # yielded again, it makes the task wait as if the task itself had taken the first step.
        if self._waits_for:
            return self._waits_for.pop()
        return self._coroutine.send(value)

    def throw(self, *error: Any) -> Any:
        self._waits_for.clear()
        return self._coroutine.throw(*error)

    def close(self) -> None:
        self._coroutine.close()

    def __await__(self) -> Generator[Any, Any, T]:
        raise TypeError("the rest of a coroutine is for a task only")


def run(coroutine: Coroutine[Any, Any, T], loop: asyncio.AbstractEventLoop) -> T | asyncio.Task[T]:
    """Takes the first step of `coroutine`, from a callback of `loop` (never from within a task).

    Returns its result when it never waits, else the task that goes on with it. An error raised
    before it first waits comes out of this call.
    """
    stand = _Stand()
    _enter_task(loop, stand)  # type: ignore[arg-type]
    try:
        waits_for = coroutine.send(None)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]
    finally:
        _leave_task(loop, stand)  # type: ignore[arg-type]
    stand.task = loop.create_task(_Rest(coroutine, waits_for))
    return stand.task
