"""Accepts clients: all that wait, not one of them in a turn of the event loop.

libuv accepts one connection per turn. Under load a turn serves every connection that has something
to read, so of a thousand clients that come at once the last would wait for a thousand such turns.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable, Sequence

# Who is connected has requests too: they get the loop after so many newcomers.
AT_ONCE = 64
# Without a free descriptor or memory for one: clients wait in the queue for so long, in seconds.
_PAUSE = 0.1
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_FAMILY_NOT_HERE = frozenset({errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL})


class Listener:
    """Listens on sockets that are bound, and gives every client a protocol from `make`."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sockets: Sequence[socket.socket],
        make: Callable[[], asyncio.BaseProtocol],
        backlog: int,
    ) -> None:
        self._loop = loop
        self._sockets = list(sockets)
        self._make = make
        self._backlog = backlog
        self._arriving: set[asyncio.Task[None]] = set()
        for sock in self._sockets:
            sock.setblocking(False)
            # Who is accepted inherits it, and not every event loop sets it.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.listen(backlog)
            loop.add_reader(sock, self._accept, sock)

    @property
    def port(self) -> int:
        """Of the first of its sockets."""
        return int(self._sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Accepts nobody any more; returns when those accepted before have their protocol.

        Who is connected by then is accepted still: to him this process is there, and he may have
        sent a request that he must not send twice.
        """
        sockets, self._sockets = self._sockets, []
        for sock in sockets:
            self._loop.remove_reader(sock)
            for _ in range(self._backlog // AT_ONCE + 1):
                if not self._accept(sock):
                    break
            sock.close()
        if self._arriving:
            await asyncio.wait(self._arriving)

    def _accept(self, sock: socket.socket) -> bool:
        """Lets some in; says whether there may be more."""
        for _ in range(AT_ONCE):
            try:
                client, _address = sock.accept()
            except (BlockingIOError, InterruptedError):
                return False
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    self._loop.remove_reader(sock)
                    self._loop.call_later(_PAUSE, self._resume, sock)
                    return False
                # That client has left already, or its network has; the others have not.
                continue
            client.setblocking(False)
            arriving = self._loop.create_task(self._welcome(client))
            self._arriving.add(arriving)
            arriving.add_done_callback(self._arriving.discard)
        return True

    async def _welcome(self, client: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._make, client)
        except OSError:
            # It is gone before it has said anything.
            client.close()

    def _resume(self, sock: socket.socket) -> None:
        if sock in self._sockets:
            self._loop.add_reader(sock, self._accept, sock)


async def bound_sockets(host: str, port: int, *, reuse_port: bool) -> list[socket.socket]:
    """Sockets bound to every address of `host` that this machine has. Raises OSError."""
    found = await asyncio.get_running_loop().getaddrinfo(
        host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    sockets: list[socket.socket] = []
    missing: OSError | None = None
    for family, address in dict.fromkeys((entry[0], entry[4]) for entry in found):
        try:
            sockets.append(_bound(family, address, reuse_port=reuse_port))
        except OSError as error:
            # A name may stand for an address of a family that is switched off here.
            if error.errno not in _FAMILY_NOT_HERE:
                for sock in sockets:
                    sock.close()
                raise
            missing = error
    if missing is not None and not sockets:
        raise missing
    return sockets


def _bound(family: int, address: object, *, reuse_port: bool) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(address)  # type: ignore[arg-type]  # as getaddrinfo gave it
    except BaseException:
        sock.close()
        raise
    return sock
