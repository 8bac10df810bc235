"""Reads the configuration again, checks all of it, and swaps it at once or not at all."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import structlog

from services.gateway.config import Config
from services.gateway.downstream.head_reader import HeadReader
from services.gateway.downstream.server import Server
from services.gateway.observe import Observer
from services.gateway.pipeline import Gateway
from services.gateway.rules import make_rules
from services.gateway.upstream.pool import UpstreamSettings
from shared.process import StartRefused

log = structlog.get_logger(__name__)


def transports(config: Config) -> dict[str, UpstreamSettings]:
    """What the data plane needs to know of every upstream."""
    return {name: upstream.transport for name, upstream in config.upstreams.items()}


class Reloader:
    """Takes over a configuration that holds; keeps the last good one otherwise."""

    def __init__(
        self, load: Callable[[], Config], gateway: Gateway, server: Server, observer: Observer
    ) -> None:
        self._load = load
        self._gateway = gateway
        self._server = server
        self._observer = observer

    def reload(self) -> bool:
        """Whether the file was taken. A bad one changes nothing, and every fault is logged."""
        try:
            config = self._load()
            rules = make_rules(config, self._observer.version_seen)
            self._server.upstreams.configure(transports(config))
        except (StartRefused, ValueError) as error:
            self._observer.config_refused()
            log.error("config_refused", problems=str(error).splitlines())
            return False
        self._gateway.rules = rules
        self._gateway.cache.clear()
        self._gateway.limits.configure(config.limits.redis_timeout)
        self._server.limits = config.server
        self._server.heads = HeadReader(config.server)
        self._observer.config_taken(config.digest)
        self._observer.reloaded()
        log.info("config_taken", digest=config.digest)
        return True

    async def watch(self, path: Path, seconds: float) -> None:
        """Reloads whenever the content of `path` has changed; a background task runs it.

        A ConfigMap is swapped under a running process, and nobody in the cluster sends it SIGHUP.
        """
        known = await asyncio.to_thread(_content, path)
        while True:
            await asyncio.sleep(seconds)
            found = await asyncio.to_thread(_content, path)
            if found not in (known, None):
                known = found
                self.reload()

    @contextlib.contextmanager
    def on_signal(self, number: int) -> Iterator[None]:
        """Reloads on the signal while the block runs."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(number, self.reload)
        try:
            yield
        finally:
            loop.remove_signal_handler(number)


def _content(path: Path) -> bytes | None:
    """The bytes of the file, or None for one that is gone or cannot be read right now."""
    try:
        return path.read_bytes()
    except OSError:
        return None
