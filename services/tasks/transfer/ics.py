"""iCalendar (RFC 5545): each task a VTODO. Reading and writing is the library's; the cutting of a
stream into components is ours, so that a file of any length takes the memory of one task.
"""

from __future__ import annotations

import re
from codecs import BOM_UTF8
from collections.abc import AsyncIterable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from typing import Any

from icalendar import Calendar, Todo

from services.tasks.domain import ExportedTask
from services.tasks.transfer.intake import Intake
from services.tasks.transfer.lines import MAX_LINE_BYTES, LineSplitter
from services.tasks.transfer.rows import LineFault, read_lines, take_fields

HEAD = b"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//Tasklane//Tasks//EN\r\n"
TAIL = b"END:VCALENDAR\r\n"
# RFC 5545 section 3.8.1.9: 1 is the highest, 9 the lowest, 0 none.
_TO_OURS = {0: 1, 1: 5, 2: 5, 3: 4, 4: 4, 5: 3, 6: 2, 7: 2, 8: 1, 9: 1}
_TO_THEIRS = {5: 1, 4: 3, 3: 5, 2: 7, 1: 9}
# What is cancelled is not to be done any longer; programs show it among what is done.
_ENDED = ("COMPLETED", "CANCELLED")
_ALWAYS_UTC = ("COMPLETED", "CREATED")
_BORDER = re.compile(rb"(?:BEGIN|END):", re.IGNORECASE)
_MARK = "\ufeff"
_LINE_BREAK = re.compile("\r\n?")
_MAX_ZONES_BYTES = 262_144


async def read(chunks: AsyncIterable[bytes], intake: Intake) -> None:
    """Puts every VTODO into `intake`, by the line that it begins in. Raises TooManyLines."""
    cutter = _Cutter()
    await read_lines(chunks, LineSplitter(folded=True), partial(cutter.take, intake), intake)
    cutter.end(intake)


class _Cutter:
    """Gathers the lines of one component at a time; time zones are kept for those that follow."""

    def __init__(self) -> None:
        self._begun = False
        self._begin = 0
        self._kind = b""
        self._lines: list[bytes] = []
        self._size = 0
        self._zones = b""

    def take(self, intake: Intake, number: int, line: bytes) -> None:
        text = line.rstrip(b"\r\n")
        # A line that begins with a blank goes on with the one before, whatever it says.
        mark = text.rstrip().upper()
        if not self._begun and mark:
            self._begun = True
            if not mark.removeprefix(BOM_UTF8).startswith(b"BEGIN:"):
                intake.refuse(number, {"line": ["Not iCalendar: it begins with BEGIN:VCALENDAR."]})
        if not self._kind:
            if mark in (b"BEGIN:VTODO", b"BEGIN:VTIMEZONE"):
                self._begin, self._kind, self._lines, self._size = number, mark[6:], [], 0
            else:
                return
        elif not mark and self._lines[-1:] and _BORDER.match(self._lines[-1]):
            # A blank line, as people leave them: names of components are not folded.
            return
        self._size += len(text)
        if self._size <= MAX_LINE_BYTES:
            self._lines.append(text)
        if mark == b"END:" + self._kind:
            self._finish(intake)

    def end(self, intake: Intake) -> None:
        """A file that ends within a task."""
        if self._kind == b"VTODO":
            intake.refuse(self._begin, {"line": ["END:VTODO is missing."]})

    def _finish(self, intake: Intake) -> None:
        kind, whole = self._kind, b"\r\n".join(self._lines) + b"\r\n"
        self._kind, self._lines = b"", []
        if kind == b"VTIMEZONE":
            if len(self._zones) + len(whole) <= _MAX_ZONES_BYTES:
                self._zones += whole
            return
        try:
            if self._size > MAX_LINE_BYTES:
                raise LineFault({"line": [f"Longer than {MAX_LINE_BYTES} bytes."]})
            fields = _fields(_parsed(self._zones, whole))
        except LineFault as fault:
            intake.refuse(self._begin, fault.errors)
        else:
            take_fields(self._begin, fields, intake)


def _parsed(zones: bytes, whole: bytes) -> Todo:
    needed = zones if b"TZID" in whole else b""
    try:
        found = Calendar.from_ical(HEAD + needed + whole + TAIL).walk("VTODO")
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise LineFault({"line": [f"Not iCalendar: {str(error)[:200]}."]}) from None
    if len(found) != 1 or not isinstance(found[0], Todo):
        raise LineFault({"line": ["Not one VTODO."]})
    for name, reason in found[0].errors:
        raise LineFault({str(name).lower(): [str(reason)[:200]]})
    return found[0]


def _fields(todo: Todo) -> dict[str, Any]:
    for name in todo:
        if name in ("RRULE", "RDATE"):
            raise LineFault({name.lower(): ["Tasks do not recur."]})
    status = str(_one(todo, "STATUS") or "").upper()
    done = _time(todo, "COMPLETED")
    completed = status in _ENDED or (done is not None and not status)
    return {
        "external_id": _text(todo, "UID"),
        "title": _text(todo, "SUMMARY") or "",
        "description": _text(todo, "DESCRIPTION"),
        "priority": _priority(todo),
        "completed": completed,
        "completed_at": done if completed else None,
        "created_at": _time(todo, "CREATED"),
        "due_date": _due(todo),
        "labels": _labels(todo),
        "parent_external_id": _parent(todo),
    }


def _priority(todo: Todo) -> int:
    given = _one(todo, "PRIORITY")
    ours = _TO_OURS.get(0 if given is None else int(given))
    if ours is None:
        raise LineFault({"priority": ["Must be between 0 and 9."]})
    return ours


def _one(todo: Todo, name: str) -> Any:
    found = todo.get(name)
    if isinstance(found, list):
        raise LineFault({name.lower(): ["Must be given once."]})
    return found


def _text(todo: Todo, name: str) -> str | None:
    found = _one(todo, name)
    return None if found is None else str(found)


def _time(todo: Todo, name: str) -> str | None:
    """A time in UTC; a date is its midnight. One without a zone is anybody's guess.

    But not where RFC 5545 allows nothing but UTC (sections 3.8.2.1 and 3.8.7.1), and some
    programs leave the Z out.
    """
    found = _one(todo, name)
    if found is None:
        return None
    return _utc(name, getattr(found, "dt", None)).isoformat()


def _due(todo: Todo) -> str | None:
    """DUE, or what DTSTART and DURATION come to: a task has either (RFC 5545 section 3.6.2)."""
    length = getattr(_one(todo, "DURATION"), "dt", None)
    if not isinstance(length, timedelta) or "DUE" in todo:
        return _time(todo, "DUE")
    start = getattr(_one(todo, "DTSTART"), "dt", None)
    if not isinstance(start, date):
        raise LineFault({"duration": ["Needs a DTSTART."]})
    try:
        # Days are those of the calendar, hours those of the clock (section 3.3.6).
        day = start + timedelta(days=length.days)
        return (_utc("DTSTART", day) + timedelta(seconds=length.seconds)).isoformat()
    except OverflowError:
        raise LineFault({"duration": ["The time is out of range."]}) from None


def _utc(name: str, moment: object) -> datetime:
    if isinstance(moment, datetime):
        if moment.tzinfo is None and name in _ALWAYS_UTC:
            moment = moment.replace(tzinfo=UTC)
        if moment.tzinfo is None:
            raise LineFault({name.lower(): ["The time needs a zone."]})
        try:
            return moment.astimezone(UTC)
        except (OverflowError, ValueError):
            raise LineFault({name.lower(): ["The time is out of range."]}) from None
    if isinstance(moment, date):
        return datetime.combine(moment, time(), UTC)
    raise LineFault({name.lower(): ["Not a time."]})


def _labels(todo: Todo) -> list[str]:
    found = todo.get("CATEGORIES", [])
    groups = found if isinstance(found, list) else [found]
    labels = [str(label) for group in groups for label in getattr(group, "cats", [group])]
    return list(dict.fromkeys(label for label in labels if label))


def _parent(todo: Todo) -> str | None:
    found = todo.get("RELATED-TO", [])
    for one in found if isinstance(found, list) else [found]:
        if str(one.params.get("RELTYPE", "PARENT")).upper() == "PARENT":
            return str(one)
    return None


def write(task: ExportedTask) -> bytes:
    """The task as a VTODO that `read` takes."""
    todo = Todo()
    todo.add("uid", _text_value(task.external_id))
    todo.add("dtstamp", task.created_at)
    todo.add("created", task.created_at)
    todo.add("summary", _text_value(task.title))
    if task.description:
        todo.add("description", _text_value(task.description))
    todo.add("priority", _TO_THEIRS[task.priority])
    todo.add("status", "COMPLETED" if task.completed else "NEEDS-ACTION")
    if task.completed_at is not None:
        todo.add("completed", task.completed_at)
    if task.due_date is not None:
        todo.add("due", task.due_date)
    if task.labels:
        todo.add("categories", _text_values(task.labels))
    if task.parent_external_id is not None:
        todo.add("related-to", _text_value(task.parent_external_id))
    written: bytes = todo.to_ical()
    return written


def _text_value(text: str) -> str:
    """The text as the library has to be given it to write what it says."""
    return _text_values([text])[0]


def _text_values(texts: Sequence[str]) -> list[str]:
    # RFC 5545 section 3.3.11 writes every line break the same way.
    values = [_LINE_BREAK.sub("\n", text) for text in texts]
    if values[0].startswith(_MARK):
        # The library takes the first mark off a property that it writes.
        values[0] = _MARK + values[0]
    return values
