"""Asks an endpoint how it is, before a request has to find out."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from random import random

from services.gateway.upstream.connection import UpstreamConnection
from services.gateway.upstream.endpoint import Endpoint
from services.gateway.upstream.head import ResponseHead


@dataclass(frozen=True, slots=True)
class CheckSettings:
    """What is asked, how often, and what counts. Seconds and counts."""

    path: str  # answers 2xx while the service is able to serve
    interval: float = 2.0
    timeout: float = 1.0
    fail_after: int = 2  # failed checks in a row that take an endpoint out


class Checker:
    """Checks one endpoint over and over, each time on a connection of its own."""

    __slots__ = (
        "_connecting",
        "_connection",
        "_deadline",
        "_endpoint",
        "_failures",
        "_next_at",
        "_now",
        "_settings",
    )

    def __init__(self, endpoint: Endpoint, settings: CheckSettings) -> None:
        self._endpoint = endpoint
        self._settings = settings
        self._now = asyncio.get_running_loop().time
        self._failures = 0
        self._connecting: asyncio.Task[UpstreamConnection] | None = None
        self._connection: UpstreamConnection | None = None
        self._deadline = 0.0
        # Endpoints that started together are not asked together.
        self._next_at = self._now() + settings.interval * random()

    def sweep(self, now: float) -> None:
        """Begins a check that is due, ends one that takes too long."""
        if self._connecting is not None or self._connection is not None:
            if now > self._deadline:
                self._end(ok=False)
        elif now >= self._next_at:
            self._deadline = now + self._settings.timeout
            self._connecting = self._endpoint.connect()
            self._connecting.add_done_callback(self._connected)

    def stop(self) -> None:
        """Drops a check under way."""
        connecting, self._connecting = self._connecting, None
        if connecting is not None:
            connecting.cancel()
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.drop()

    def _connected(self, task: asyncio.Task[UpstreamConnection]) -> None:
        connection = None
        if not task.cancelled() and task.exception() is None:
            connection = task.result()
        if task is not self._connecting:
            if connection is not None:
                connection.drop()
            return
        self._connecting = None
        if connection is None or not connection.is_open:
            self._end(ok=False)
            return
        self._connection = connection
        request = b"GET %b HTTP/1.1\r\nhost: %b\r\nconnection: close\r\n\r\n" % (
            self._settings.path.encode("ascii"),
            self._endpoint.authority,
        )
        connection.begin(self, "GET", request, complete=True)

    def _end(self, *, ok: bool) -> None:
        self.stop()
        self._next_at = self._now() + self._settings.interval
        self._failures = 0 if ok else self._failures + 1
        if ok:
            self._endpoint.health.check_passed(self._now())
        elif self._failures >= self._settings.fail_after:
            self._endpoint.health.check_failed()

    # What the connection tells.

    def response(self, head: ResponseHead, _body: bytes, _finished: bool) -> None:
        """The verdict is in the status; the body is of no interest."""
        self._end(ok=200 <= head.status < 300)

    def body(self, data: bytes, finished: bool) -> None:
        """Never comes: the connection is dropped with the head."""

    def lost(self, _outcome: str) -> None:
        """It has gone without an answer."""
        self._connection = None
        self._end(ok=False)

    def blocked(self) -> None:
        """A request this small is never in the way."""

    def unblocked(self) -> None:
        """Nor out of it again."""
