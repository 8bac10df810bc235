"""From a path to its route by two look-ups; aiohttp's router takes what they do not know."""

from __future__ import annotations

from aiohttp import hdrs, web
from aiohttp.web_urldispatcher import UrlMappingMatchInfo

from shared.middleware import served
from shared.server import Handle

# Where a path has its one parameter: `/v2/tasks/{task_id}/restore`.
_PLACE = 3
# Version, collection and what follows the parameter.
Shape = tuple[str, str, str | None]


class Dispatch:
    """Serves the requests of an application whose only middleware is `served`.

    A path that is spelled with escapes, a method that a path does not have, a path that no route
    has and a request that waits for `100 Continue` go to `otherwise`, the application itself: how
    those are decided is written down once.
    """

    def __init__(self, app: web.Application, otherwise: Handle) -> None:
        self._app = app
        self._otherwise = otherwise
        self._plain: dict[tuple[str, str], web.AbstractRoute] = {}
        self._with_parameter: dict[tuple[str, Shape], tuple[str, web.AbstractRoute]] = {}
        # DELETE of `/tasks/import` is refused, and no DELETE of a task called `import`.
        self._taken: set[str] = set()
        for route in app.router.routes():
            if route.resource is None or route.method == hdrs.METH_ANY:
                continue
            path = route.resource.canonical
            if "{" not in path:
                self._plain[route.method, path] = route
                self._taken.add(path)
                continue
            parts = path.split("/", _PLACE + 1)
            name = parts.pop(_PLACE) if len(parts) > _PLACE else ""
            if name.startswith("{") and "{" not in "".join(parts):
                self._with_parameter[route.method, _shape(parts)] = (name[1:-1], route)

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """The answer to `request`."""
        assert isinstance(request, web.Request)
        path = request.rel_url.raw_path
        found = None
        if "%" not in path and hdrs.EXPECT not in request.headers:
            found = self._find(request.method, path)
        if found is None:
            return await self._otherwise(request)
        given, route = found
        match = UrlMappingMatchInfo(given, route)
        match.add_app(self._app)
        match.freeze()
        request._match_info = match
        return await served(request, route.handler)

    def _find(self, method: str, path: str) -> tuple[dict[str, str], web.AbstractRoute] | None:
        route = self._plain.get((method, path))
        if route is not None:
            return {}, route
        parts = path.split("/", _PLACE + 1)
        if len(parts) <= _PLACE or path in self._taken:
            return None
        value = parts.pop(_PLACE)
        found = self._with_parameter.get((method, _shape(parts)))
        if found is None or not value or "{" in value or "}" in value:
            return None
        name, route = found
        return {name: value}, route


def _shape(parts: list[str]) -> Shape:
    return parts[1], parts[2], parts[3] if len(parts) > _PLACE else None
