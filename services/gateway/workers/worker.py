"""A worker as its supervisor sees it: a place that one process after the other fills."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import subprocess
import sys
from collections.abc import Callable

import structlog

log = structlog.get_logger(__name__)

SERVES = b"1"  # what a worker sends once it accepts connections
LOOPBACK = "127.0.0.1"
# A process that lived this long was well: the next one begins without a pause.
LONG_LIFE_SECONDS = 10.0
FIRST_PAUSE_SECONDS = 0.25
LONGEST_PAUSE_SECONDS = 10.0


class Worker:
    """Keeps one process going until it is stopped. To be made on the running loop.

    `serves` tells whether the process accepts connections; `first` holds None once the very first
    one does, or its exit code when it ended before.
    """

    def __init__(self, number: int, public: socket.socket, died: Callable[[], None]) -> None:
        self.number = number
        self.serves = False
        self.first: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        self._public = public
        self._died = died
        # Bound here, so that its address is known and stays the same for every process.
        self._ops = socket.create_server((LOOPBACK, 0))
        self.ops_url = f"http://{LOOPBACK}:{self._ops.getsockname()[1]}"
        self._process: subprocess.Popen[bytes] | None = None
        self._reload_due = False
        self._stopping = asyncio.Event()

    async def keep_going(self) -> None:
        """Starts a process whenever there is none; returns when it is stopped and the last ended.

        The pause before the next one doubles while they die young.
        """
        loop = asyncio.get_running_loop()
        pause = 0.0
        try:
            while not self._stopping.is_set():
                began = loop.time()
                code: int | str
                try:
                    code = await self._one_life()
                except OSError as error:
                    # The system has no room for a process or a descriptor right now.
                    code = str(error)
                if self._stopping.is_set():
                    break
                young = loop.time() - began < LONG_LIFE_SECONDS
                pause = min(max(2 * pause, FIRST_PAUSE_SECONDS), LONGEST_PAUSE_SECONDS)
                pause = pause if young else 0.0
                log.error("worker_died", worker=self.number, code=code, pause_seconds=pause)
                self._died()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), pause)
        finally:
            self._ops.close()

    def reload(self) -> None:
        """SIGHUP; a process that is still starting gets it when it serves."""
        if self.serves:
            self._send(signal.SIGHUP)
        else:
            self._reload_due = True

    def stop(self) -> None:
        """SIGTERM, and no process after this one. A second call changes nothing."""
        # A process takes a second SIGTERM as the wish to end at once.
        if not self._stopping.is_set():
            self._stopping.set()
            self._send(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL, for one that does not end."""
        self._send(signal.SIGKILL)

    def _send(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)

    async def _one_life(self) -> int:
        """Runs one process and returns its exit code, negative for a signal."""
        self._reload_due = False
        ours, theirs = socket.socketpair()
        with ours:
            ours.setblocking(False)
            with theirs:
                process = self._process = self._begin(theirs)
            log.info("worker_begun", worker=self.number, worker_pid=process.pid)
            await self._hear(ours)
            # It has ended or is about to: the kernel has closed its end of the pair.
            code = await asyncio.to_thread(process.wait)
        self._process = None
        if not self.first.done():
            self.first.set_result(code)
        return code

    async def _hear(self, tie: socket.socket) -> None:
        """Notes that the process serves, and returns at its end."""
        loop = asyncio.get_running_loop()
        try:
            while await loop.sock_recv(tie, 1) == SERVES:
                self.serves = True
                log.info("worker_serves", worker=self.number)
                if not self.first.done():
                    self.first.set_result(None)
                if self._reload_due:
                    self._send(signal.SIGHUP)
        except ConnectionError:
            return
        finally:
            self.serves = False

    def _begin(self, tie: socket.socket) -> subprocess.Popen[bytes]:
        descriptors = (self._public.fileno(), self._ops.fileno(), tie.fileno())
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "services.gateway.workers"),
                *map(str, (self.number, *descriptors)),
            ],
            stdin=subprocess.DEVNULL,
            pass_fds=descriptors,
            # Ctrl-C is for the supervisor alone, which passes it on.
            start_new_session=True,
        )
