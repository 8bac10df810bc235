"""CSV (RFC 4180): a header row with the names of the fields, then one task a row.

An empty cell is a field that is not there. Labels are separated by semicolons; a semicolon or a
backslash inside one has a backslash before it.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import AsyncIterable
from datetime import datetime
from typing import Any

from services.tasks.domain import ExportedTask
from services.tasks.transfer.intake import Intake
from services.tasks.transfer.lines import LineSplitter
from services.tasks.transfer.rows import LineFault, decoded, read_lines, take_fields

FIELDS = (
    "external_id", "title", "description", "priority", "completed", "completed_at", "created_at",
    "due_date", "labels", "parent_external_id",
)  # fmt: skip
HEAD = (",".join(FIELDS) + "\r\n").encode()
_LABEL = re.compile(r"(?:[^;\\]|\\.)+", re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_FLAGS = {"true": True, "false": False}


async def read(chunks: AsyncIterable[bytes], intake: Intake) -> None:
    """Puts every row of the file into `intake`. Raises TooManyLines."""
    sheet = _Sheet(intake)
    await read_lines(chunks, LineSplitter(quoted=True), sheet.take, intake)


class _Sheet:
    """Rows under a header; without a usable one every row is refused."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self._columns: list[str] | None = None
        self._fault: dict[str, list[str]] | None = None

    def take(self, number: int, line: bytes) -> None:
        try:
            cells = _cells(line)
            if self._columns is None:
                self._columns = cells
                self._check(cells)
                return
            if self._fault is not None:
                raise LineFault(self._fault)
            if len(cells) != len(self._columns):
                raise LineFault({"line": [f"Has {len(cells)} cells under {len(self._columns)}."]})
            take_fields(number, _fields(dict(zip(self._columns, cells, strict=True))), self._intake)
        except LineFault as fault:
            self._intake.refuse(number, fault.errors)

    def _check(self, cells: list[str]) -> None:
        unknown = [cell for cell in cells if cell not in FIELDS]
        if unknown or len(set(cells)) != len(cells) or "title" not in cells:
            about = f"Must be different names out of: {', '.join(FIELDS)}; title is one of them."
            self._fault = {"header": [about]}
            raise LineFault(self._fault)


def _cells(line: bytes) -> list[str]:
    try:
        rows = list(csv.reader(io.StringIO(decoded(line), newline=""), strict=True))
    except csv.Error as error:
        raise LineFault({"line": [f"Not CSV: {error}."]}) from None
    return rows[0] if rows else []


def _fields(cells: dict[str, str]) -> dict[str, Any]:
    fields: dict[str, Any] = {name: cell for name, cell in cells.items() if cell}
    fields.setdefault("title", "")
    priority, completed = fields.get("priority"), fields.get("completed")
    if priority is not None and re.fullmatch("[0-9]{1,3}", priority, re.ASCII):
        fields["priority"] = int(priority)
    if completed is not None:
        fields["completed"] = _FLAGS.get(completed.lower(), completed)
    if "labels" in fields:
        fields["labels"] = [_ESCAPED.sub(r"\1", one) for one in _LABEL.findall(fields["labels"])]
    return fields


def write(task: ExportedTask) -> bytes:
    """The task as a row that `read` takes."""
    labels = ";".join(label.replace("\\", "\\\\").replace(";", "\\;") for label in task.labels)
    row = (
        task.external_id,
        task.title,
        task.description,
        task.priority,
        "true" if task.completed else "false",
        _time(task.completed_at),
        _time(task.created_at),
        _time(task.due_date),
        labels,
        task.parent_external_id,
    )
    text = io.StringIO(newline="")
    csv.writer(text).writerow(row)
    return text.getvalue().encode()


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat().replace("+00:00", "Z")
