"""CSV (RFC 4180): a header row with the names of the fields, then one task a row.

An empty cell is a field that is not there. Labels are separated by semicolons; a semicolon or a
backslash inside one has a backslash before it. Spreadsheets separate cells by what their country
does, so the header tells: by commas, semicolons or tabs, `Due date` as good as `due_date`. The
header of Todoist is known too.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import AsyncIterable
from contextlib import suppress
from datetime import datetime
from typing import Any

from services.tasks.domain import ExportedTask
from services.tasks.transfer.intake import Intake
from services.tasks.transfer.lines import LineSplitter
from services.tasks.transfer.rows import LineFault, decoded, read_lines, take_fields
from services.tasks.transfer.todoist import TodoistRows, is_todoist

FIELDS = (
    "external_id", "title", "description", "priority", "completed", "completed_at", "created_at",
    "due_date", "labels", "parent_external_id",
)  # fmt: skip
HEAD = (",".join(FIELDS) + "\r\n").encode()
_LABEL = re.compile(r"(?:[^;\\]|\\.)+", re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_NO_HEADER = {
    "header": [f"Must be different names out of: {', '.join(FIELDS)}; title is one of them."]
}
_FLAGS = {"true": True, "false": False}
_SEPARATORS = ",;\t"
_TIMES = ("completed_at", "created_at", "due_date")
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


async def read(chunks: AsyncIterable[bytes], intake: Intake) -> None:
    """Puts every row of the file into `intake`. Raises TooManyLines."""
    sheet = _Sheet(intake)
    await read_lines(chunks, LineSplitter(quoted=True), sheet.take, intake)


class _Sheet:
    """Rows under a header; without a usable one every row is refused."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self._columns: list[str] | None = None
        self._separator = ","
        self._todoist = TodoistRows()

    def take(self, number: int, line: bytes) -> None:
        try:
            if self._columns is None:
                self._columns, self._separator = _header(line)
                return
            cells = _cells(line, self._separator)
            if not any(cells):
                # How spreadsheets leave a row blank.
                return
            if not self._columns:
                raise LineFault(_NO_HEADER)
            if len(cells) != len(self._columns):
                raise LineFault({"line": [f"Has {len(cells)} cells under {len(self._columns)}."]})
            named = dict(zip(self._columns, cells, strict=True))
            ours = "title" in named
            fields = _fields(named) if ours else self._todoist.fields(named)
            if fields is not None:
                take_fields(number, fields, self._intake)
        except LineFault as fault:
            if self._columns is None:
                self._columns = []
            self._intake.refuse(number, fault.errors)


def _header(line: bytes) -> tuple[list[str], str]:
    """The fields of the columns, and what separates them. Raises LineFault."""
    columns: list[str] = []
    for separator in _SEPARATORS:
        # Cells in quotes are no CSV under another separator than their own.
        with suppress(LineFault):
            columns = [_name(cell) for cell in _cells(line, separator)]
        ours = {"title"} <= set(columns) <= set(FIELDS)
        if (ours or is_todoist(columns)) and len(set(columns)) == len(columns):
            return columns, separator
    raise LineFault(_NO_HEADER)


def _name(cell: str) -> str:
    """The field that a header cell means."""
    return re.sub(r"[\s-]+", "_", cell.strip().lower())


def _cells(line: bytes, separator: str) -> list[str]:
    text = io.StringIO(decoded(line), newline="")
    try:
        rows = list(csv.reader(text, delimiter=separator, strict=True))
    except csv.Error as error:
        raise LineFault({"line": [f"Not CSV: {error}."]}) from None
    if len(rows) > 1:
        raise LineFault({"line": ["A line ends in CR LF or LF, not in CR alone."]})
    return rows[0] if rows else []


def _fields(cells: dict[str, str]) -> dict[str, Any]:
    fields: dict[str, Any] = {name: cell for name, cell in cells.items() if cell}
    fields.setdefault("title", "")
    priority, completed = fields.get("priority"), fields.get("completed")
    if priority is not None and re.fullmatch("[0-9]{1,3}", priority, re.ASCII):
        fields["priority"] = int(priority)
    if completed is not None:
        fields["completed"] = _FLAGS.get(completed.lower(), completed)
    for name in _TIMES:
        if _DATE.fullmatch(fields.get(name, "")):
            # A day without a time, as in the other formats.
            fields[name] += "T00:00:00Z"
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
