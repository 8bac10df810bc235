"""Lists with numbered pages, as their readers get them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from shared.endpoints import Given

PUBLIC_PREFIX = "/api"


def numbered_page(
    request: web.Request, given: Given, total: int, results: Sequence[Any]
) -> dict[str, Any]:
    """The page that `page` and `page_size` of the query name, with links to those beside it."""
    number, size = given.query["page"], given.query["page_size"]
    last = max(1, -(-total // size))
    return {
        "count": total,
        "next": _page_url(request, number + 1) if number < last else None,
        "previous": _page_url(request, min(number - 1, last)) if number > 1 else None,
        "results": results,
    }


def _page_url(request: web.Request, number: int) -> str:
    query = [(name, value) for name, value in request.query.items() if name != "page"]
    return f"{PUBLIC_PREFIX}{request.path}?{urlencode([*query, ('page', str(number))])}"
