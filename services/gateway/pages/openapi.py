"""GET /api/vN/openapi.json: the services' documents as one, seen from outside."""

from __future__ import annotations

import asyncio
import copy
import time
from collections.abc import Callable
from typing import Any

import orjson
import structlog

from services.gateway.config import Access, Route, Upstream
from services.gateway.exchange import Answer, Exchange
from services.gateway.pages import merge
from services.gateway.pages.credentials import schemes
from services.gateway.pages.operations import HEADERS, complete, own_paths
from services.gateway.pages.sources import SourceFailed, Sources
from services.gateway.routes import RouteTable, split_version
from services.gateway.rules import Rules
from shared.cookies import Cookies
from shared.openapi import document
from shared.version import VERSION

log = structlog.get_logger(__name__)

FETCH_TIMEOUT_SECONDS = 2.0
KEPT_SECONDS = 30.0
# While a service is away its document is asked for more often, so that a late one soon shows.
RETRY_SECONDS = 1.0

_HEADERS = [(b"content-type", b"application/json"), (b"cache-control", b"no-cache")]


class OpenApiPage:
    """Merges what the upstreams publish; keeps the last good document of one that is away."""

    def __init__(
        self, sources: Sources, cookies: Cookies, *, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._sources = sources
        self._cookies = cookies
        self._now = now
        self._known: dict[tuple[str, str], dict[str, Any]] = {}
        self._pages: dict[tuple[str, str], tuple[float, asyncio.Task[tuple[bytes, bool]]]] = {}

    async def __call__(self, exchange: Exchange, rules: Rules) -> Answer:
        version = exchange.api_version
        assert version is not None
        key = (version, rules.config.digest)
        cached = self._pages.get(key)
        if cached is None or self._is_stale(*cached):
            task = asyncio.create_task(self._make(version, rules))
            if cached is None:
                # One configuration is in force at a time: pages of an earlier one are of no use.
                self._pages = {at: page for at, page in self._pages.items() if at[1] == key[1]}
            cached = self._pages[key] = (self._now(), task)
        # A client that leaves must not cancel the work for the others.
        body, _ = await asyncio.shield(cached[1])
        return Answer(200, list(_HEADERS), body)

    def _is_stale(self, made_at: float, task: asyncio.Task[tuple[bytes, bool]]) -> bool:
        if not task.done():
            return False
        failed = task.cancelled() or task.exception() is not None
        complete_page = not failed and task.result()[1]
        return failed or self._now() - made_at >= (KEPT_SECONDS if complete_page else RETRY_SECONDS)

    async def _make(self, version: str, rules: Rules) -> tuple[bytes, bool]:
        """The merged document, and whether every upstream gave its part."""
        names = dict.fromkeys(route.upstream for route in rules.config.routes if route.versioned)
        upstreams = [rules.config.upstreams[name] for name in names]
        answered = await asyncio.gather(*(self._fetch(one, version) for one in upstreams))
        merged = skeleton(version, self._cookies)
        for upstream in upstreams:
            part = self._known.get((upstream.name, version))
            if part is None:
                continue
            try:
                add_service(merged, part, upstream.name, version, rules)
            except (AttributeError, KeyError, TypeError) as error:
                log.warning("openapi_not_merged", upstream=upstream.name, error=repr(error))
        merge.unique_operation_ids(merged)
        return orjson.dumps(merged), all(answered)

    async def _fetch(self, upstream: Upstream, version: str) -> bool:
        """Whether the upstream told what it has; one without a document has none to tell."""
        try:
            status, body = await self._sources.get(
                upstream, f"/{version}/openapi.json", FETCH_TIMEOUT_SECONDS
            )
            if status == 200:
                part = orjson.loads(body)
                if isinstance(part, dict) and isinstance(part.get("paths"), dict):
                    self._known[upstream.name, version] = part
            return status < 500
        except (SourceFailed, orjson.JSONDecodeError) as error:
            log.info("openapi_not_fetched", upstream=upstream.name, error=str(error)[:200])
            return False


def skeleton(version: str, cookies: Cookies) -> dict[str, Any]:
    """A document with the gateway's own pages in it."""
    own = own_paths(version)
    for path, _, operation in merge.operations(own):
        secured = path == "/api/rate-limit-status"
        complete(operation, Access.OPTIONAL if secured else Access.NONE)
    components = document("Tasklane", version, ())["components"]
    components["headers"] = dict(HEADERS)
    components["securitySchemes"] |= schemes(cookies)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Tasklane",
            "version": VERSION,
            "description": f"Version {version} of the API, as the gateway serves it.",
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": "gateway", "description": "What the gateway answers itself."}],
        "paths": own,
        "components": components,
    }


def add_service(
    merged: dict[str, Any], part: dict[str, Any], upstream: str, version: str, rules: Rules
) -> None:
    """Puts the operations of a service that a route leads to into `merged`, under public paths."""
    table = RouteTable(rules.config.routes)
    paths: dict[str, Any] = {}
    for path, item in copy.deepcopy(part["paths"]).items():
        route = _route_to(table, path, version)
        if route is None or route.upstream != upstream:
            continue
        public = f"/api{path}" if route.versioned else path
        paths[public] = item
        for _, _, operation in merge.operations({public: item}):
            complete(operation, route.access)
    merge.add_document(merged, part, source=upstream, paths=paths)


def _route_to(table: RouteTable, path: str, version: str) -> Route | None:
    """The route by which a client reaches the service's `path`."""
    public = f"/api{path}" if path.startswith(f"/{version}/") else path
    probe = Exchange(method="GET", path=public, query="", headers=[], peer="", received_at=0.0)
    split_version(probe)
    table.match(probe)
    return probe.route
