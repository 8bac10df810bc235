"""From a path to its route by two look-ups; aiohttp's router takes what they do not know."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler
from aiohttp.web_urldispatcher import UrlMappingMatchInfo

from shared.server import Handle

# Where a path has its one parameter: `/v2/tasks/{task_id}/restore`.
_PLACE = 3
# Version, collection and what follows the parameter.
Shape = tuple[str, str, str | None]


class Way(NamedTuple):
    """A route, and its handler within the application's middlewares."""

    route: web.AbstractRoute
    handler: Handler


class Dispatch:
    """Serves the requests of an application that has no other application within it.

    A path that is spelled with escapes, a method that a path does not have, a path that no route
    has and a request that waits for `100 Continue` go to `otherwise`, the application itself: how
    those are decided is written down once.
    """

    def __init__(self, app: web.Application, otherwise: Handle) -> None:
        self._app = app
        self._otherwise = otherwise
        self._plain: dict[tuple[str, str], Way] = {}
        self._with_parameter: dict[tuple[str, Shape], tuple[str, Way]] = {}
        # DELETE of `/tasks/import` is refused, and no DELETE of a task called `import`.
        self._taken: set[str] = set()
        for route in app.router.routes():
            if route.resource is None or route.method == hdrs.METH_ANY:
                continue
            path, way = route.resource.canonical, Way(route, _within(app, route.handler))
            if "{" not in path:
                self._plain[route.method, path] = way
                self._taken.add(path)
                continue
            parts = path.split("/", _PLACE + 1)
            name = parts.pop(_PLACE) if len(parts) > _PLACE else ""
            if name.startswith("{") and "{" not in "".join(parts):
                self._with_parameter[route.method, _shape(parts)] = (name[1:-1], way)

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """The answer to `request`."""
        assert isinstance(request, web.Request)
        path = request.rel_url.raw_path
        found = None
        if "%" not in path and hdrs.EXPECT not in request.headers:
            found = self._find(request.method, path)
        if found is None:
            return await self._otherwise(request)
        given, way = found
        match = UrlMappingMatchInfo(given, way.route)
        match.add_app(self._app)
        match.freeze()
        request._match_info = match
        return await way.handler(request)

    def _find(self, method: str, path: str) -> tuple[dict[str, str], Way] | None:
        way = self._plain.get((method, path))
        if way is not None:
            return {}, way
        parts = path.split("/", _PLACE + 1)
        if len(parts) <= _PLACE or path in self._taken:
            return None
        value = parts.pop(_PLACE)
        found = self._with_parameter.get((method, _shape(parts)))
        if found is None or not value or "{" in value or "}" in value:
            return None
        name, way = found
        return {name: value}, way


def _within(app: web.Application, handler: Handler) -> Handler:
    for middleware in reversed(app.middlewares):
        handler = partial(middleware, handler=handler)
    return handler


def _shape(parts: list[str]) -> Shape:
    return parts[1], parts[2], parts[3] if len(parts) > _PLACE else None
