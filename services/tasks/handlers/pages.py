"""The ways from one page of a list to its neighbours."""

from __future__ import annotations

from urllib.parse import urlencode

from aiohttp import web

from services.tasks.handlers.owner import PUBLIC_PREFIX


def page_links(request: web.Request, number: int, size: int, total: int) -> dict[str, str | None]:
    """`next` and `previous` of page `number`, as a client outside asks for them."""
    last = max(1, -(-total // size))
    return {
        "next": _page_url(request, number + 1) if number < last else None,
        "previous": _page_url(request, min(number - 1, last)) if number > 1 else None,
    }


def _page_url(request: web.Request, number: int) -> str:
    query = [(name, value) for name, value in request.query.items() if name != "page"]
    return f"{PUBLIC_PREFIX}{request.path}?{urlencode([*query, ('page', str(number))])}"
