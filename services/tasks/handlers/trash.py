"""The trash."""

from __future__ import annotations

from aiohttp import web

from services.tasks.changes import snapshot
from services.tasks.handlers.conditional import if_match, validators
from services.tasks.handlers.keys import TRASH, TRASH_KEPT
from services.tasks.handlers.owner import owner_of
from services.tasks.handlers.pages import page_links
from services.tasks.usecases import trash
from shared.answers import Reply
from shared.endpoints import Given


async def list_trash(request: web.Request, given: Given) -> Reply:
    number, size = given.query["page"], given.query["page_size"]
    total, found = await trash.list_trash(
        request.app[TRASH], owner_of(request, given), offset=(number - 1) * size, limit=size
    )
    kept = request.app[TRASH_KEPT]
    results = [
        {**snapshot(one.task), "deleted_at": one.deleted_at, "purge_at": one.deleted_at + kept}
        for one in found
    ]
    return Reply(
        {"count": total, **page_links(request, number, size, total), "results": results},
        headers={"Cache-Control": "private, no-cache"},
    )


async def restore_task(request: web.Request, given: Given) -> Reply:
    task = await trash.restore_task(
        request.app[TRASH], owner_of(request, given), given.path["task_id"], if_match(request)
    )
    return Reply(task, headers=validators(task))
