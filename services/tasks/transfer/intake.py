"""A file between reading and storing: the tasks wait on disk, only their names in memory."""

from __future__ import annotations

import hashlib
import tempfile
from collections import Counter
from datetime import datetime
from typing import Any, NamedTuple, Self

import orjson

from services.tasks.domain import ImportedTask, TooManyLines
from shared.errors import ServiceUnavailable

MAX_LINES = 100_000
MAX_ERRORS_PER_LINE = 5
_IN_MEMORY_BYTES = 1_048_576


class Candidate(NamedTuple):
    """A readable line: where it stands and how it is tied to others."""

    line: int
    external_id: str
    parent_external_id: str | None


class Refusal(NamedTuple):
    """A line that is not imported, and why, by field."""

    line: int
    errors: dict[str, list[str]]


class Intake:
    """Takes the lines of one file; a context manager that owns the temporary file."""

    def __init__(self) -> None:
        self.candidates: list[Candidate] = []
        self.refusals: list[Refusal] = []
        self._first_lines: dict[str, int] = {}
        self._nameless: Counter[bytes] = Counter()
        self._places: list[int] = []
        self._spool = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES)  # noqa: SIM115

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._spool.close()
        # A traceback may hold this for a while; what is in it is large.
        for held in (self.candidates, self.refusals, self._first_lines, self._places):
            held.clear()
        self._nameless.clear()

    def refuse(self, line: int, errors: dict[str, list[str]]) -> None:
        """Books a line that cannot be read. Raises TooManyLines."""
        self._count()
        shown = dict(list(errors.items())[:MAX_ERRORS_PER_LINE])
        self.refusals.append(Refusal(line, shown))

    def accept(self, line: int, task: ImportedTask) -> None:
        """Keeps a readable line, unless another one has the same external_id.

        Raises TooManyLines, and ServiceUnavailable when there is no room on the disk.
        """
        text = orjson.dumps(tuple(task))
        name = task.external_id or self._name(text)
        first = self._first_lines.setdefault(name, line)
        if first != line:
            self.refuse(line, {"external_id": [f"Line {first} has the same one."]})
            return
        self._count()
        self.candidates.append(Candidate(line, name, task.parent_external_id))
        try:
            self._places.append(self._spool.tell())
            self._spool.write(text + b"\n")
        except OSError as error:
            raise ServiceUnavailable("There is no room for the file right now") from error

    def task(self, number: int) -> ImportedTask:
        """The task of `candidates[number]`."""
        self._spool.seek(self._places[number])
        task = _restored(orjson.loads(self._spool.readline()))
        return task._replace(external_id=self.candidates[number].external_id)

    def _count(self) -> None:
        if len(self.candidates) + len(self.refusals) >= MAX_LINES:
            raise TooManyLines(MAX_LINES)

    def _name(self, text: bytes) -> str:
        """An external_id for a line without one, such that the same file gives the same ones."""
        digest = hashlib.sha256(text).digest()[:16]
        self._nameless[digest] += 1
        times = self._nameless[digest]
        return f"import:{digest.hex()}" + (f"-{times}" if times > 1 else "")


def _restored(fields: list[Any]) -> ImportedTask:
    task = ImportedTask._make(fields)
    return task._replace(
        completed_at=_time(task.completed_at),
        created_at=_time(task.created_at),
        due_date=_time(task.due_date),
    )


def _time(text: Any) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
