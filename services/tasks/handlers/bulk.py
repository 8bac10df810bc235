"""Many tasks in one request of version 2."""

from __future__ import annotations

from typing import Any

from aiohttp import web
from marshmallow import ValidationError

from services.tasks.handlers.keys import TASKS
from services.tasks.handlers.owner import owner_of
from services.tasks.schemas.v2 import NewTask
from services.tasks.usecases.bulk import Item, Result, create_many
from shared.answers import Reply
from shared.endpoints import Given
from shared.errors import ApiError, ValidationFailed
from shared.parameters import loader
from shared.schemas import flatten_messages

_ERRORS_SHOWN = 20


async def create_bulk(request: web.Request, given: Given) -> Reply:
    atomic = given.body["mode"] == "atomic"
    results = await create_many(
        request.app[TASKS],
        owner_of(request, given),
        [_item(raw) for raw in given.body["tasks"]],
        atomic=atomic,
        dry_run=given.body["dry_run"],
    )
    failed = [(index, one.error) for index, one in enumerate(results) if one.error is not None]
    if atomic and failed:
        problems: dict[str, list[str]] = {}
        for index, error in failed:
            problems.update(_by_pointer(index, error))
        raise ValidationFailed(details=dict(list(problems.items())[:_ERRORS_SHOWN]))
    summary = {
        "total_submitted": len(results),
        "successful": len(results) - len(failed),
        "failed": len(failed),
        "dry_run": given.body["dry_run"],
    }
    shown = [_shown(index, one) for index, one in enumerate(results)]
    return Reply({"results": shown, "summary": summary}, status=201 if atomic else 207)


def _item(raw: Any) -> Item:
    try:
        fields: dict[str, Any] = loader(NewTask).load(raw)
    except ValidationError as error:
        return ValidationFailed(details=flatten_messages(error.messages))
    return fields


def _shown(index: int, result: Result) -> dict[str, Any]:
    shown: dict[str, Any] = {"index": index, "status": result.status}
    if result.error is None:
        return {**shown, "task": result.task}
    error = {
        "code": result.error.code,
        "message": result.error.text,
        "details": _by_pointer(index, result.error),
    }
    return {**shown, "error": error}


def _by_pointer(index: int, error: ApiError) -> dict[str, Any]:
    """The details of an item's error by JSON pointers into the request (RFC 6901)."""
    item = f"/tasks/{index}"
    return {
        item if field == "body" else f"{item}/{field.replace('.', '/')}": reasons
        for field, reasons in error.details.items()
    }
