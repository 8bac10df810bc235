"""From the fields of a line, of whatever format, to a task in the intake."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Callable, Iterable
from typing import Any

from marshmallow import ValidationError

from services.tasks.domain import ImportedTask
from services.tasks.schemas.transfer import ImportLine
from services.tasks.transfer.intake import Intake
from services.tasks.transfer.lines import MAX_LINE_BYTES, LineSplitter
from shared.schemas import flatten_messages

_SCHEMA = ImportLine()
_LINES_AT_A_TIME = 50

NumberedLines = Iterable[tuple[int, bytes | None]]


class LineFault(Exception):
    """A line that cannot be read, with what is wrong by field."""

    def __init__(self, errors: dict[str, list[str]]) -> None:
        super().__init__("unreadable line")
        self.errors = errors


async def read_lines(
    chunks: AsyncIterable[bytes],
    splitter: LineSplitter,
    take: Callable[[int, bytes], None],
    intake: Intake,
) -> None:
    """Hands every line of the file to `take` as `splitter` cuts them. Raises TooManyLines."""
    async for chunk in chunks:
        await _hand_over(splitter.feed(chunk), take, intake)
    await _hand_over(splitter.end(), take, intake)


async def _hand_over(
    lines: NumberedLines, take: Callable[[int, bytes], None], intake: Intake
) -> None:
    for count, (number, line) in enumerate(lines, 1):
        if line is None:
            intake.refuse(number, {"line": [f"Longer than {MAX_LINE_BYTES} bytes."]})
        else:
            take(number, line)
        if count % _LINES_AT_A_TIME == 0:
            # Other requests get their turn within a chunk of many short lines.
            await asyncio.sleep(0)


def take_fields(number: int, fields: Any, intake: Intake) -> None:
    """Validates the fields of a line and accepts or refuses it. Raises TooManyLines."""
    try:
        loaded = _SCHEMA.load(fields)
    except ValidationError as error:
        intake.refuse(number, of_a_line(flatten_messages(error.messages)))
    else:
        intake.accept(number, ImportedTask(**loaded))


def of_a_line(details: dict[str, Any]) -> dict[str, list[str]]:
    """Messages of a body said of a line: that the fault is on line 1 of it would only mislead."""
    return {
        "line" if field == "body" else field: [
            reason.replace(" at line 1 column", " at column") for reason in reasons
        ]
        for field, reasons in details.items()
    }


def decoded(line: bytes) -> str:
    """The text of a line. Raises LineFault unless it is UTF-8."""
    try:
        return line.decode()
    except UnicodeDecodeError:
        raise LineFault({"line": ["Not UTF-8 text."]}) from None
