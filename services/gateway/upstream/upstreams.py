"""All the services by name, and the clock that watches over them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from services.gateway.outgoing import Outgoing
from services.gateway.upstream.pool import Upstream, UpstreamSettings


class Upstreams:
    """Services by name. To be made on the running loop, and closed at the end."""

    def __init__(self, settings: Mapping[str, UpstreamSettings], *, tick: float = 0.25) -> None:
        """`tick` is how often deadlines are looked at, in seconds."""
        self._tick = tick
        self._loop = asyncio.get_running_loop()
        self.outgoing = Outgoing(self._loop)
        self._upstreams: dict[str, Upstream] = {}
        # Those that the configuration names no more, until their last call is over.
        self._retired: list[Upstream] = []
        self.configure(settings)
        self._timer = self._loop.call_later(tick, self._sweep)

    def __getitem__(self, name: str) -> Upstream:
        return self._upstreams[name]

    def configure(self, settings: Mapping[str, UpstreamSettings]) -> None:
        """Takes over a whole new configuration; raises ValueError and changes nothing if it is bad.

        What is the same as before keeps its connections, its health and its breaker.
        """
        upstreams: dict[str, Upstream] = {}
        for name, wanted in settings.items():
            known = self._upstreams.get(name)
            upstreams[name] = (
                known
                if known and known.settings == wanted
                else Upstream(name, wanted, self.outgoing)
            )
        for name, known in self._upstreams.items():
            if upstreams.get(name) is not known:
                known.close()
                self._retired.append(known)
        self._upstreams = upstreams

    def snapshot(self) -> list[Upstream]:
        """All of them, for metrics and the health page."""
        return list(self._upstreams.values())

    def close(self) -> None:
        """Ends everything: idle connections, and calls that nobody waited for."""
        self._timer.cancel()
        for upstream in [*self._upstreams.values(), *self._retired]:
            upstream.cancel_all()
            upstream.close()

    def _sweep(self) -> None:
        self._timer = self._loop.call_later(self._tick, self._sweep)
        now = self._loop.time()
        for upstream in [*self._upstreams.values(), *self._retired]:
            upstream.sweep(now)
        self._retired = [upstream for upstream in self._retired if upstream.calls]
