"""Tells those who wait for the next revocation, whichever replica published it."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import asyncpg
import structlog

from services.auth.repository.revocations import CHANNEL

log = structlog.get_logger(__name__)

CONNECT_SECONDS = 2.0
RETRY_SECONDS = 1.0


class RevocationSignal:
    """LISTEN on a connection of its own, because one of the pool may go to somebody else.

    A signal may be lost, with the connection or behind a pooler that passes none on: who waits
    looks again after a moment in any case.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._event = asyncio.Event()
        self.ended = False  # whether nothing more is worth waiting for

    def next(self) -> asyncio.Event:
        """Is set by the next signal; to be asked for before looking at what there is."""
        return self._event

    def end(self) -> None:
        """The process stops: whoever waits goes away with what there is."""
        self.ended = True
        self._wake()

    async def listen(self) -> None:
        """Listens for ever; a background task runs it."""
        while True:
            try:
                await self._listen_once()
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                log.warning("revocation_signal_lost", error=repr(error))
            await asyncio.sleep(RETRY_SECONDS)

    async def _listen_once(self) -> None:
        lost = asyncio.Event()
        connection: Any = await asyncpg.connect(
            self._url,
            timeout=CONNECT_SECONDS,
            server_settings={"application_name": "tasklane-auth-signal"},
        )
        try:
            connection.add_termination_listener(lambda _connection: lost.set())
            await connection.add_listener(CHANNEL, self._heard)
            # What was published before now has not been heard.
            self._wake()
            await lost.wait()
        finally:
            with contextlib.suppress(TimeoutError, OSError, asyncpg.InterfaceError):
                await connection.close(timeout=CONNECT_SECONDS)

    def _heard(self, *_about: Any) -> None:
        self._wake()

    def _wake(self) -> None:
        event, self._event = self._event, asyncio.Event()
        event.set()
