"""The route stage: what a path names, decided on its raw form and on segment borders only."""

from __future__ import annotations

from collections.abc import Iterable

from services.gateway.config import Route
from services.gateway.exchange import Exchange

API = "/api"
_API_BELOW = "/api/"
# Never routed, whatever the table says: these paths are for the services among themselves.
_INTERNAL = "/internal"


def is_api(path: str) -> bool:
    """Whether `path` is in the versioned part of the public paths."""
    return path.startswith(_API_BELOW) or path == API


def split_version(exchange: Exchange) -> None:
    """Sets `url_version` and `service_path` of an /api path.

    The first segment is a version when it looks like one, well-formed or not.
    """
    path = exchange.path
    if not path.startswith(_API_BELOW):
        if path == API:
            exchange.service_path = "/"
        return
    end = path.find("/", 5)
    segment = path[5:] if end < 0 else path[5:end]
    if segment[:1] in ("v", "V") and segment[1:2].isdigit():
        exchange.url_version = segment
        exchange.service_path = "/" if end < 0 else path[end:]
    else:
        exchange.service_path = path[4:]


class RouteTable:
    """Routes by prefix; the longest one that matches wins, and what none matches has no route."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._versioned: dict[str, Route] = {}
        self._plain: dict[str, Route] = {}
        for route in routes:
            table = self._versioned if route.versioned else self._plain
            table[route.prefix] = route

    def match(self, exchange: Exchange) -> None:
        """Sets `route` where there is one for the request's `service_path`."""
        table = self._versioned if is_api(exchange.path) else self._plain
        exchange.route = _longest(table, exchange.service_path)


def _longest(table: dict[str, Route], path: str) -> Route | None:
    if path[:9].lower() == _INTERNAL and path[9:10] in ("", "/"):
        return None
    prefix = path
    while True:
        found = table.get(prefix)
        if found is not None:
            return found
        cut = prefix.rfind("/")
        if cut <= 0:
            return table.get("/")
        prefix = prefix[:cut]
