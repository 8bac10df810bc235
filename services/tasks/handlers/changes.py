"""The change feed."""

from __future__ import annotations

import orjson
from aiohttp import web

from services.tasks.changes import DELETED
from services.tasks.handlers.keys import FEED
from services.tasks.handlers.owner import owner_of
from services.tasks.usecases.changes import read_changes
from shared.answers import Reply
from shared.endpoints import Given


async def list_changes(request: web.Request, given: Given) -> Reply:
    page = await read_changes(
        request.app[FEED],
        owner_of(request, given),
        since=given.query.get("since"),
        limit=given.query["limit"],
    )
    changes = [
        {
            "sequence": change.sequence,
            "id": change.id,
            "type": change.type,
            "task_id": change.task_id,
            "at": change.at,
            "task": None if change.type == DELETED else orjson.Fragment(change.task),
        }
        for change in page.changes
    ]
    return Reply(
        {"changes": changes, "next": page.next, "has_more": page.has_more},
        headers={"Cache-Control": "private, no-cache"},
    )
