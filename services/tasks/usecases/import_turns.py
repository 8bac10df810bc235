"""Whose file is taken in when: few at once, so that those who send them cost a bounded memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

from shared.errors import ServiceUnavailable

# A file of the most lines, all of them refused, takes about 70 MiB; one that is written takes two
# connections: the rest of the memory and of the pool stays for everybody else.
AT_ONCE = 2
# Each has up to 128 KiB in the buffer of its connection. One caller cannot fill the queue.
WAITING = 128
WAITING_OF_ONE = 48
PATIENCE_SECONDS = 8.0

Left = Callable[[], bool]


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting:
    """Somebody in the queue; `called` says whether he has a turn or is sent away."""

    caller_id: UUID
    left: Left
    called: asyncio.Future[bool]


class ImportTurns:
    """The turns of one process: first come, first served, but one at a time to each caller."""

    def __init__(self) -> None:
        self._under_way: set[UUID] = set()
        self._queue: list[_Waiting] = []

    @property
    def under_way(self) -> int:
        """The files being taken in."""
        return len(self._under_way)

    @property
    def waiting(self) -> int:
        """Those in the queue."""
        return len(self._queue)

    @asynccontextmanager
    async def turn(self, caller_id: UUID, left: Left) -> AsyncIterator[None]:
        """Waits for a turn and has it during the block.

        `left` says whether whoever asks has left; he gets no turn then, but ConnectionResetError.
        Raises ServiceUnavailable when too many wait or no turn gets free in time.
        """
        await self._take(caller_id, left)
        try:
            yield
        finally:
            self._under_way.remove(caller_id)
            self._call_next()

    async def _take(self, caller_id: UUID, left: Left) -> None:
        self._dismiss_those_who_left()
        of_his = sum(one.caller_id == caller_id for one in self._queue)
        if len(self._queue) >= WAITING or of_his >= WAITING_OF_ONE:
            raise _refusal()
        one = _Waiting(caller_id, left, asyncio.get_running_loop().create_future())
        self._queue.append(one)
        self._call_next()
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                has_turn = await one.called
        except BaseException as error:
            self._forget(one)
            if isinstance(error, TimeoutError):
                raise _refusal() from None
            raise
        if not has_turn:
            raise ConnectionResetError("the client has left")

    def _call_next(self) -> None:
        """Gives free turns to the first who may have them and are still there."""
        self._dismiss_those_who_left()
        for one in list(self._queue):
            if len(self._under_way) >= AT_ONCE:
                return
            if one.caller_id not in self._under_way and not one.called.done():
                self._queue.remove(one)
                self._under_way.add(one.caller_id)
                one.called.set_result(True)

    def _dismiss_those_who_left(self) -> None:
        for one in list(self._queue):
            if one.left():
                self._queue.remove(one)
                if not one.called.done():
                    one.called.set_result(False)

    def _forget(self, one: _Waiting) -> None:
        """Takes somebody out who does not wait any longer, even if he has just been called."""
        if one in self._queue:
            self._queue.remove(one)
        elif one.called.done() and not one.called.cancelled() and one.called.result():
            self._under_way.remove(one.caller_id)
            self._call_next()


def _refusal() -> ServiceUnavailable:
    return ServiceUnavailable("Too many imports at once", retry_after_seconds=int(PATIENCE_SECONDS))
