"""One address of a service: its idle connections, and how it has been doing."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

from services.gateway.outgoing import Outgoing
from services.gateway.upstream.connection import UpstreamConnection
from services.gateway.upstream.head import HeadReader
from services.gateway.upstream.health import Health, HealthSettings
from services.gateway.upstream.queue import Queue


class Endpoint:
    """Counts what is under way, keeps connections for the next request."""

    def __init__(
        self,
        url: str,
        *,
        max_connections: int,
        idle_seconds: float,
        health: HealthSettings,
        outgoing: Outgoing,
    ) -> None:
        """Raises ValueError for a `url` that is not plain http://host[:port]."""
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname or parts.path not in ("", "/"):
            raise ValueError(f"{url!r} is not http://host:port")
        if parts.query or parts.fragment or parts.username is not None:
            raise ValueError(f"{url!r} is not http://host:port")
        self.host = parts.hostname
        self.port = parts.port or 80
        self.url = url
        host = f"[{self.host}]" if ":" in self.host else self.host
        self.authority = f"{host}:{self.port}".encode("ascii")
        self.active = 0  # exchanges under way
        self.health = Health(health)
        self.outgoing = outgoing
        self._max_connections = max_connections
        self._idle_seconds = idle_seconds
        self._idle: list[UpstreamConnection] = []
        self._open: set[UpstreamConnection] = set()
        self._opening = 0
        self._reader = HeadReader()
        self._closed = False
        self._now = asyncio.get_running_loop().time
        self.queue = Queue(self.connect, self._room, self._now)

    @property
    def connections(self) -> int:
        """How many are open or being opened."""
        return len(self._open) + self._opening

    @property
    def idle(self) -> int:
        """How many of them wait for a request."""
        return len(self._idle)

    @property
    def is_full(self) -> bool:
        """Whether more exchanges are under way than connections may be open."""
        return self.active > self._max_connections

    def _room(self) -> int:
        return max(0, self._max_connections - self.connections)

    def checkout(self, now: float, certain: bool) -> UpstreamConnection | None:
        """The connection used last, if there is one that still lives.

        `certain` is for a request that must not be sent twice: the socket itself is asked whether
        the service has closed it.
        """
        while self._idle:
            connection = self._idle.pop()
            stale = now - connection.idle_since > self._idle_seconds
            if stale or (certain and not connection.is_silent()):
                connection.drop()
                continue
            return connection
        return None

    def checkin(self, connection: UpstreamConnection) -> None:
        """Takes a connection back whose exchange ended well."""
        if self._closed:
            connection.drop()
            return
        if not self.queue.offer(connection):
            connection.idle_since = self._now()
            self._idle.append(connection)

    def forget(self, connection: UpstreamConnection) -> None:
        """The connection is closed, or about to be."""
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)

    def connect(self) -> asyncio.Task[UpstreamConnection]:
        """Opens a connection, which the caller owns. The task raises OSError."""
        self._opening += 1
        task = asyncio.ensure_future(self._connect())
        task.add_done_callback(self._opened)
        return task

    async def _connect(self) -> UpstreamConnection:
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(
            lambda: UpstreamConnection(self, self._reader), self.host, self.port
        )
        if not connection.is_open:
            raise ConnectionResetError("closed as soon as it was open")
        self._open.add(connection)
        return connection

    def _opened(self, _task: asyncio.Task[UpstreamConnection]) -> None:
        self._opening -= 1

    def sweep(self, now: float) -> None:
        """Closes connections that have been idle for too long."""
        while self._idle and now - self._idle[0].idle_since > self._idle_seconds:
            self._idle[0].drop()
        self.queue.sweep(now)

    def close(self) -> None:
        """Closes the idle connections; the others close when their exchange ends."""
        self._closed = True
        self.queue.close()
        for connection in list(self._idle):
            connection.drop()
