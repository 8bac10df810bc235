"""Looking host names up, so that a name whose server is silent holds nobody else up."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult

# The system's resolver blocks a thread for as long as it waits, which nothing can cut short. The
# loop has four threads for it, too few for receivers of which some are gone.
LOOKUPS_AT_ONCE = 64

_Place = tuple[str, int, int]
_Found = list[ResolveResult]


class HostLookup(AbstractResolver):
    """Looks names up in threads of its own; a name that is asked for already is waited for.

    So a silent name costs one thread, however many deliveries it has.
    """

    def __init__(self, getaddrinfo: Callable[..., Any] = socket.getaddrinfo) -> None:
        self._getaddrinfo = getaddrinfo
        self._threads = ThreadPoolExecutor(LOOKUPS_AT_ONCE, thread_name_prefix="lookup")
        self._running: dict[_Place, asyncio.Future[_Found]] = {}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> _Found:
        """As aiohttp's. Raises OSError."""
        place = (host, port, int(family))
        found = self._running.get(place)
        if found is None:
            loop = asyncio.get_running_loop()
            found = loop.run_in_executor(self._threads, self._look, place)
            self._running[place] = found
            found.add_done_callback(partial(self._done, place))
        # Whoever asked may be out of time; the others still want to know.
        return list(await asyncio.shield(found))

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _done(self, place: _Place, found: asyncio.Future[_Found]) -> None:
        self._running.pop(place, None)
        if not found.cancelled():
            # All who asked may be gone; an error that nobody fetched would be logged as a fault.
            found.exception()

    def _look(self, place: _Place) -> _Found:
        host, port, family = place
        records = self._getaddrinfo(
            host, port, type=socket.SOCK_STREAM, family=family, flags=socket.AI_ADDRCONFIG
        )
        return [
            ResolveResult(
                hostname=host,
                host=_numeric(kind, address),
                port=address[1],
                family=kind,
                proto=protocol,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for kind, _, protocol, _, address in records
        ]


def _numeric(family: int, address: tuple[Any, ...]) -> str:
    """The address as text, with the zone of one that is link-local."""
    if family == socket.AF_INET6 and len(address) > 3 and address[3]:
        return socket.getnameinfo(address, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)[0]
    return str(address[0])
