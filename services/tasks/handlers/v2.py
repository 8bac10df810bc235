"""Version 2, but for files."""

from __future__ import annotations

from aiohttp import web

from services.tasks.domain import CursorRefused, Task
from services.tasks.handlers.conditional import if_match, none_match, validators
from services.tasks.handlers.keys import CREATIONS, FINDER, LISTS, TASKS
from services.tasks.handlers.owner import PUBLIC_PREFIX, owner_of
from services.tasks.handlers.pages import page_links
from services.tasks.handlers.remembered import REVISION, SEEN
from services.tasks.repository.lists import FILTERS
from services.tasks.schemas.v2 import CursorPage
from services.tasks.usecases import lists, tasks
from shared.answers import Reply
from shared.endpoints import Given


async def list_tasks(request: web.Request, given: Given) -> Reply:
    if "cursor" in given.query:
        return await _walk(request, given)
    number, size = given.query.get("page", 1), given.query["page_size"]
    page = await lists.list_tasks(
        request.app[LISTS],
        owner_of(request, given),
        filters={name: value for name, value in given.query.items() if name in FILTERS},
        sort=given.query.get("sort"),
        offset=(number - 1) * size,
        limit=size,
        seen=request[SEEN],
    )
    request[REVISION] = page.revision
    return Reply(
        {
            "count": page.total,
            **page_links(request, number, size, page.total),
            "results": page.tasks,
        }
    )


async def _walk(request: web.Request, given: Given) -> Reply:
    if "page" in given.query:
        raise CursorRefused("Does not go together with page.")
    page = await lists.walk_tasks(
        request.app[LISTS],
        owner_of(request, given),
        filters={name: value for name, value in given.query.items() if name in FILTERS},
        sort=given.query.get("sort"),
        cursor=given.query["cursor"],
        limit=given.query["page_size"],
        seen=request[SEEN],
    )
    request[REVISION] = page.revision
    return Reply({"next_cursor": page.next_cursor, "results": page.tasks}, shape=CursorPage)


async def create_task(request: web.Request, given: Given) -> Reply:
    task = await tasks.create_task(
        request.app[TASKS], request.app[CREATIONS], owner_of(request, given), given.body
    )
    location = f"{PUBLIC_PREFIX}/v2/tasks/{task.id}"
    return Reply(task, headers={**validators(task), "Location": location})


async def get_task(request: web.Request, given: Given) -> Reply:
    task = await tasks.get_task(
        request.app[FINDER], owner_of(request, given), given.path["task_id"]
    )
    if none_match(given.headers.get("if_none_match"), task.etag):
        return _shown(task)
    return Reply(status=304, headers=validators(task))


async def replace_task(request: web.Request, given: Given) -> Reply:
    return await _change(request, given)


async def patch_task(request: web.Request, given: Given) -> Reply:
    return await _change(request, given)


async def delete_task(request: web.Request, given: Given) -> Reply:
    await tasks.delete_task(
        request.app[TASKS],
        owner_of(request, given),
        given.path["task_id"],
        if_match(request),
    )
    return Reply()


async def _change(request: web.Request, given: Given) -> Reply:
    """PUT and PATCH differ in their bodies only: that of PUT has a value for every field."""
    task = await tasks.change_task(
        request.app[TASKS],
        owner_of(request, given),
        given.path["task_id"],
        given.body,
        if_match(request),
    )
    return _shown(task)


def _shown(task: Task) -> Reply:
    return Reply(task, headers=validators(task))
