"""The processes of tasks, which are killed and started again on the same ports."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from typing import IO

from deploy.local.confine import confined

_PATIENCE_SECONDS = 60.0


class Program:
    """`python -m services.tasks` with `arguments`, ready when `port` takes connections."""

    def __init__(
        self, *arguments: str, port: int, environment: Mapping[str, str], log: IO[bytes]
    ) -> None:
        self._arguments = arguments
        self._port = port
        # Addresses in our own environment are those of other systems.
        inherited = {name: value for name, value in os.environ.items() if not name.endswith("_URL")}
        self._environment = {**inherited, **environment}
        self._log = log
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Returns once it listens. Raises TimeoutError and RuntimeError."""
        command = [sys.executable, "-m", "services.tasks", *self._arguments]
        self._process = await asyncio.create_subprocess_exec(
            *confined(command, death_signal=signal.SIGKILL),
            env=self._environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
        )
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while not await self._listens():
                if self._process.returncode is not None:
                    raise RuntimeError(f"tasks {self._arguments} ended; see its log")
                await asyncio.sleep(0.02)

    async def run_to_its_end(self) -> None:
        """For a command. Raises RuntimeError when it fails."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "services.tasks", *self._arguments),
            env=self._environment,
            stdout=self._log,
            stderr=self._log,
        )
        if await process.wait() != 0:
            raise RuntimeError(f"tasks {self._arguments} failed; see its log")

    @property
    def process_id(self) -> int:
        """The process that was started last."""
        assert self._process is not None
        return self._process.pid

    async def kill(self) -> None:
        """SIGKILL: nothing is finished, nothing is said."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def _listens(self) -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            return False
        writer.close()
        return True
