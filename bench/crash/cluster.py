"""A PostgreSQL of our own that writes to disk, and is killed like everything else."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import IO

from bench.crash.patience import until
from deploy.local.pidfile import is_ready
from deploy.local.postgres import DURABLE, Place, Server, create_databases

DATABASE = "tasks"


class Cluster:
    """The server on one data folder; each start after a kill is a recovery from its log."""

    def __init__(self, folder: Path, log: IO[bytes]) -> None:
        self._place = Place(folder)
        self._log = log
        self._server = Server(self._place, DURABLE, log)

    @property
    def url(self) -> str:
        """The database of tasks."""
        return self._place.url(DATABASE)

    async def start(self) -> None:
        """Returns once the server takes connections. Raises TimeoutError."""
        # The lock is free when the last process of the killed server has gone.
        await until(self._server.acquire)
        self._server.start()
        await until(self._ready_or_ended)
        if self._server.exit_code() is not None:
            raise RuntimeError("PostgreSQL did not come back; see its log")

    def create_database(self) -> None:
        create_databases(self._place, (DATABASE,))

    async def kill(self) -> None:
        """SIGKILL to the server itself: its other processes notice and end by themselves."""
        process_id = self._server.process_id
        assert process_id is not None
        os.kill(process_id, signal.SIGKILL)
        await until(lambda: self._server.exit_code() is not None)
        self.stop()

    def stop(self) -> None:
        """Ends the server, if it lives, and lets its folder go."""
        self._server.stop()
        self._server = Server(self._place, DURABLE, self._log)

    def _ready_or_ended(self) -> bool:
        ready = is_ready(self._place.data, self._server.process_id)
        return ready or self._server.exit_code() is not None
