"""Lists that have not changed: answered 304, or with the page that was made before."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from services.tasks.handlers.conditional import none_match
from services.tasks.handlers.keys import PAGES, REVISIONS
from services.tasks.handlers.owner import owner_of
from services.tasks.page_store import Page, PageKey
from services.tasks.repository.feed import NEVER
from shared.endpoints import Given
from shared.errors import JSON

# Which revision the tasks of the list were read at; the handler says so.
REVISION: web.RequestKey[str] = web.RequestKey("revision", str)
# The revision that the owner's tasks had a moment before.
SEEN: web.RequestKey[str] = web.RequestKey("seen", str)


async def remembered(
    request: web.Request, given: Given, run: Callable[[], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Runs a list only when its owner's tasks have changed since it was last shown."""
    owner_id = owner_of(request, given)
    key = PageKey(owner_id, request.rel_url.raw_path_qs)
    pages = request.app[PAGES]
    revision = await request.app[REVISIONS].get(owner_id) or NEVER
    tag = key.tag(revision)
    if not none_match(given.headers.get("if_none_match"), tag):
        pages.shown.add(("unchanged",))
        return web.Response(status=304, headers=_validators(tag))

    request[SEEN] = revision

    async def make() -> Page:
        answer = await run()
        assert isinstance(answer, web.Response)
        assert isinstance(answer.body, bytes)
        return Page(request.get(REVISION, ""), answer.body)

    page = await pages.get(key, revision, make)
    headers = {"Content-Type": JSON, "Cache-Control": "private, no-cache"}
    if page.revision:
        headers["ETag"] = tag if page.revision == revision else key.tag(page.revision)
    return web.Response(body=page.body, headers=headers)


def _validators(tag: str) -> dict[str, str]:
    return {"ETag": tag, "Cache-Control": "private, no-cache"}
