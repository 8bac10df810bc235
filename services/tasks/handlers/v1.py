"""Version 1."""

from __future__ import annotations

from typing import Any

from aiohttp import web
from marshmallow import ValidationError

from services.tasks.domain import NEWEST_FIRST
from services.tasks.handlers.keys import CREATIONS, FINDER, LISTS, TASKS
from services.tasks.handlers.owner import PUBLIC_PREFIX, owner_of
from services.tasks.handlers.remembered import REVISION, SEEN
from services.tasks.schemas.v1 import NewTask
from services.tasks.usecases import lists, tasks
from shared.answers import Reply
from shared.endpoints import Given
from shared.parameters import loader
from shared.schemas import flatten_messages


async def list_tasks(request: web.Request, given: Given) -> Reply:
    skip, limit = given.query["skip"], given.query["limit"]
    completed = given.query.get("completed")
    page = await lists.list_tasks(
        request.app[LISTS],
        owner_of(request, given),
        filters={} if completed is None else {"completed": completed},
        sort=NEWEST_FIRST,
        offset=skip,
        limit=limit,
        seen=request[SEEN],
    )
    request[REVISION] = page.revision
    pagination = {
        "skip": skip,
        "limit": limit,
        "total": page.total,
        "returned": len(page.tasks),
    }
    return Reply(
        {"tasks": page.tasks, "pagination": pagination, "filters": {"completed": completed}}
    )


async def create_task(request: web.Request, given: Given) -> Reply:
    task = await tasks.create_task(
        request.app[TASKS], request.app[CREATIONS], owner_of(request, given), given.body
    )
    return Reply(
        {"task": task, "message": "Task created"},
        headers={"Location": f"{PUBLIC_PREFIX}/v1/tasks/{task.id}"},
    )


async def create_tasks(request: web.Request, given: Given) -> Reply:
    good: list[dict[str, Any]] = []
    errors: list[dict[str, Any]] = []
    schema = loader(NewTask)
    for index, item in enumerate(given.body):
        try:
            good.append(schema.load(item))
        except ValidationError as error:
            errors.append({"index": index, "error": in_words(error)})
    created = await tasks.create_tasks(request.app[TASKS], owner_of(request, given), good)
    summary = {
        "total_submitted": len(given.body),
        "successful": len(created),
        "failed": len(errors),
    }
    return Reply({"created": created, "errors": errors, "summary": summary})


async def get_task(request: web.Request, given: Given) -> Reply:
    task = await tasks.get_task(
        request.app[FINDER], owner_of(request, given), given.path["task_id"]
    )
    return Reply({"task": task})


async def update_task(request: web.Request, given: Given) -> Reply:
    task = await tasks.change_task(
        request.app[TASKS], owner_of(request, given), given.path["task_id"], given.body
    )
    return Reply({"task": task, "message": "Task updated"})


async def delete_task(request: web.Request, given: Given) -> Reply:
    await tasks.delete_task(request.app[TASKS], owner_of(request, given), given.path["task_id"])
    return Reply({"message": "Task deleted"})


def in_words(error: ValidationError) -> str:
    """All that is wrong with one item, in one line."""
    problems = flatten_messages(error.messages)
    return "; ".join(f"{field}: {' '.join(reasons)}" for field, reasons in problems.items())
