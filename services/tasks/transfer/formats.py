"""The file formats by the names that clients use."""

from __future__ import annotations

from collections.abc import AsyncIterable, Awaitable, Callable, Mapping
from dataclasses import dataclass

from services.tasks.domain import ExportedTask
from services.tasks.transfer import ics, jsonl, sheet, todotxt
from services.tasks.transfer.intake import Intake


@dataclass(frozen=True, slots=True)
class Format:
    """How tasks become a file and a file becomes tasks. `head` and `tail` enclose the tasks."""

    media_type: str
    read: Callable[[AsyncIterable[bytes], Intake], Awaitable[None]]
    write: Callable[[ExportedTask], bytes]
    head: bytes = b""
    tail: bytes = b""
    extension: str = ""


FORMATS: Mapping[str, Format] = {
    "jsonl": Format("application/x-ndjson", jsonl.read, jsonl.write, extension="jsonl"),
    "csv": Format("text/csv", sheet.read, sheet.write, head=sheet.HEAD, extension="csv"),
    "ics": Format(
        "text/calendar", ics.read, ics.write, head=ics.HEAD, tail=ics.TAIL, extension="ics"
    ),
    "todotxt": Format("text/plain", todotxt.read, todotxt.write, extension="txt"),
}
MEDIA_TYPES = tuple(form.media_type for form in FORMATS.values())
