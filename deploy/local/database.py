"""The embedded PostgreSQL in the life of a run: found or started, watched, taken over, stopped.

Several runs may share one data folder (one service each). The first starts the server; when it
goes, another takes over on the same socket, so that the services only have to connect again.
"""

import asyncio
import contextlib
import time
from typing import IO

from deploy.local.console import LogFile, complain
from deploy.local.errors import CannotRun
from deploy.local.pidfile import is_ready
from deploy.local.plan import Plan
from deploy.local.postgres import DURABLE, Place, Server, create_databases

_DEADLINE_SECONDS = 60.0
_LOOK_EVERY_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 10.0


class Database:
    """The server that `plan` needs, or the one of another run on the same folder."""

    def __init__(self, plan: Plan) -> None:
        self._names = plan.embedded_databases()
        self.place = Place(plan.data_folder)
        self.log = LogFile("postgres", plan.logs / "postgres.log", _worth_showing)
        self._output: IO[bytes] = self.log.path.open("ab", buffering=0)
        self._server = Server(self.place, DURABLE, self._output)

    @property
    def process_id(self) -> int | None:
        """The server's process when this run started it."""
        return self._server.process_id if self._server.exit_code() is None else None

    def urls(self) -> dict[str, str]:
        """The address of each database, by name."""
        return {name: self.place.url(name) for name in self._names}

    async def bring_up(self) -> None:
        """Returns when the databases can be used. Raises `CannotRun` when they cannot be had."""
        deadline = time.monotonic() + _DEADLINE_SECONDS
        if self._server.acquire():
            self._server.start()
        trouble = "it did not get ready"
        while time.monotonic() < deadline:
            if self._server.exit_code() is not None:
                raise CannotRun(f"PostgreSQL did not start:\n{self.log.tail()}")
            if is_ready(self.place.data, self._server.process_id):
                try:
                    await asyncio.to_thread(create_databases, self.place, self._names)
                    return
                except CannotRun as error:
                    trouble = str(error)
            elif self._server.process_id is None and self._server.acquire():
                # The run that held the folder ended meanwhile.
                self._server.start()
            await asyncio.sleep(0.02)
        raise CannotRun(
            f"no PostgreSQL on {self.place.data} in {_DEADLINE_SECONDS:.0f} s: {trouble}"
        )

    async def watch(self) -> None:
        """Keeps a server on the folder for as long as it runs: restarts ours, or takes over."""
        pause = _LOOK_EVERY_SECONDS
        while True:
            await asyncio.sleep(pause)
            ours = self._server.process_id is not None
            if ours and self._server.exit_code() is None:
                pause = _LOOK_EVERY_SECONDS
                continue
            if not self._server.acquire():
                continue
            if ours:
                code = self._server.exit_code()
                complain(f"postgres     ended with {code}, starting it again")
            with contextlib.suppress(CannotRun):
                self._server.start()
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)

    async def stop(self) -> None:
        """Stops the server when it is ours."""
        await asyncio.to_thread(self._server.stop)
        self._output.close()


def _worth_showing(line: str) -> str | None:
    # A refused statement is its service's to report; an ended connection is no news at a stop.
    grave = "PANIC:" in line or ("FATAL:" in line and "terminating connection" not in line)
    return line if grave else None
