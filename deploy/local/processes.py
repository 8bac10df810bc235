"""One child process of a run: started in a session of its own, stopped gently, then for sure."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from deploy.local.confine import confined

# What `stop` waits for before it kills: the longest drain of a service and some air.
PATIENCE_SECONDS = 15.0


class Child:
    """A process that ends with this one; its output goes to `log`, or to ours when None."""

    def __init__(
        self, name: str, command: list[str], environment: Mapping[str, str], log: Path | None
    ) -> None:
        self.name = name
        self._command = command
        self._environment = environment
        self._log = log
        self._process: asyncio.subprocess.Process | None = None

    @property
    def process_id(self) -> int | None:
        """The id of the running process, None when there is none."""
        running = self._process is not None and self._process.returncode is None
        return self._process.pid if running and self._process is not None else None

    async def start(self) -> None:
        """Starts the process. Must be called from the main thread: the child ends with it."""
        with contextlib.ExitStack() as files:
            output = None
            if self._log is not None:
                # Appending: the file may be cut short while the process writes to it.
                output = files.enter_context(self._log.open("ab", buffering=0))
            self._process = await asyncio.create_subprocess_exec(
                *confined(self._command, death_signal=signal.SIGTERM),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=dict(self._environment),
                # A Ctrl-C at the terminal reaches us only, and we stop them in order.
                start_new_session=True,
            )

    async def wait(self) -> int:
        """Waits for the end and returns the code; a signal counts negative."""
        assert self._process is not None
        return await self._process.wait()

    async def stop(self, patience_seconds: float = PATIENCE_SECONDS) -> None:
        """Ends the process and everything that it left in its session."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), patience_seconds)
        except TimeoutError:
            # The group is ours alone, and its leader is not reaped yet: the number is still its.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


def python(*arguments: str) -> list[str]:
    """The command that runs a module with the interpreter of this process."""
    return [sys.executable, "-m", *arguments]
