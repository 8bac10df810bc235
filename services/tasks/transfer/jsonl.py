"""JSON Lines: one task as a JSON object on each line."""

from __future__ import annotations

from collections.abc import AsyncIterable
from functools import partial
from typing import Any

import orjson

from services.tasks.domain import ExportedTask
from services.tasks.transfer.intake import Intake
from services.tasks.transfer.lines import LineSplitter
from services.tasks.transfer.rows import of_a_line, read_lines, take_fields
from shared.errors import ApiError
from shared.json_body import parse_json


async def read(chunks: AsyncIterable[bytes], intake: Intake) -> None:
    """Puts every line of the file into `intake`. Raises TooManyLines."""
    await read_lines(chunks, LineSplitter(), partial(_take, intake), intake)


def _take(intake: Intake, number: int, line: bytes) -> None:
    try:
        fields = parse_json(line)
    except ApiError as error:
        intake.refuse(number, of_a_line(error.details))
    else:
        take_fields(number, fields, intake)


def write(task: ExportedTask) -> bytes:
    """The task as a line that `read` takes; what it has not got is left out or null."""
    shown: dict[str, Any] = {
        "external_id": task.external_id,
        "title": task.title,
        "description": task.description,
        "priority": task.priority,
        "completed": task.completed,
        "created_at": task.created_at,
    }
    if task.completed_at is not None:
        shown["completed_at"] = task.completed_at
    if task.due_date is not None:
        shown["due_date"] = task.due_date
    shown["labels"] = task.labels
    if task.parent_external_id is not None:
        shown["parent_external_id"] = task.parent_external_id
    return orjson.dumps(shown, option=orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE)
