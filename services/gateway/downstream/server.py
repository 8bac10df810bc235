"""The public listener: accepts clients, watches their deadlines, drains at the end."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
from collections import Counter
from collections.abc import Callable

from services.gateway.downstream.answer import date_line
from services.gateway.downstream.connection import ClientConnection
from services.gateway.downstream.head_reader import HeadReader
from services.gateway.downstream.limits import ServerLimits
from services.gateway.exchange import Policy
from services.gateway.upstream.upstreams import Upstreams
from shared.identity import Principal
from shared.listener import Listener, bound_sockets


class Server:
    """Serves one port. To be made on the running loop."""

    def __init__(
        self, policy: Policy, upstreams: Upstreams, limits: ServerLimits | None = None
    ) -> None:
        self.policy = policy
        self.upstreams = upstreams
        self.outgoing = upstreams.outgoing
        self.limits = limits or ServerLimits()
        self.heads = HeadReader(self.limits)
        self.loop = asyncio.get_running_loop()
        self.date = date_line()
        self.draining = False
        self.port = 0  # where it listens, once it does
        self._connections: set[ClientConnection] = set()
        self._addresses: Counter[str] = Counter()
        self._listener: Listener | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._emptied = asyncio.Event()

    @property
    def connections(self) -> int:
        """Clients connected at the moment."""
        return len(self._connections)

    async def start(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        reuse_port: bool = False,
        listener: socket.socket | None = None,
        backlog: int = 2048,
    ) -> None:
        """Listens on `host` and `port`, or on a socket that is bound already. Raises OSError."""
        sockets = [listener] if listener else await bound_sockets(host, port, reuse_port=reuse_port)
        self._listener = Listener(self.loop, sockets, lambda: ClientConnection(self), backlog)
        self.port = self._listener.port
        self._timer = self.loop.call_later(self.limits.tick, self._sweep)

    def begin_drain(self) -> None:
        """From now on every answer says `Connection: close`; new clients are still served."""
        self.draining = True

    async def stop(self, grace: float) -> None:
        """Listens no more, and gives the requests under way `grace` seconds to finish."""
        self.begin_drain()
        if self._listener is not None:
            await self._listener.close()
        for connection in list(self._connections):
            connection.finish()
        if self._connections:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._emptied.wait(), grace)
        for connection in list(self._connections):
            connection.abort()
        if self._timer is not None:
            self._timer.cancel()

    def cut(self, unwanted: Callable[[Principal], bool]) -> int:
        """Resets the connections with a stream open for an `unwanted` principal; how many.

        An answer that has not begun is let be: it is one of before.
        """
        doomed = []
        for connection in self._connections:
            turn = connection.turn
            caller = turn.exchange.principal if turn is not None and turn.has_begun else None
            if caller is not None and unwanted(caller):
                doomed.append(connection)
        for connection in doomed:
            connection.abort(reset=True)
        return len(doomed)

    # What a connection tells.

    def opened(self, connection: ClientConnection) -> bool:
        """Counts a connection in; says whether there is room for it."""
        self._connections.add(connection)
        self._emptied.clear()
        key = _bucket(connection.peer)
        self._addresses[key] += 1
        limits = self.limits
        if limits.max_connections and len(self._connections) > limits.max_connections:
            return False
        per_address = limits.max_connections_per_address
        return not per_address or self._addresses[key] <= per_address

    def closed(self, connection: ClientConnection) -> None:
        """Counts a connection out."""
        self._connections.discard(connection)
        key = _bucket(connection.peer)
        self._addresses[key] -= 1
        if self._addresses[key] <= 0:
            del self._addresses[key]
        if not self._connections:
            self._emptied.set()

    def _sweep(self) -> None:
        self._timer = self.loop.call_later(self.limits.tick, self._sweep)
        self.date = date_line()
        now = self.loop.time()
        for connection in list(self._connections):
            if connection.deadline < now:
                connection.expire(now)
            if connection.write_watch is not None and connection.write_watch.is_late(now):
                connection.does_not_read()


def _bucket(address: str) -> str:
    """Whose connections are counted together: an IPv4 address, or an IPv6 network of 64 bits."""
    if ":" not in address:
        return address
    try:
        packed = ipaddress.IPv6Address(address.partition("%")[0]).packed
    except ValueError:
        return address
    return packed[:8].hex()
