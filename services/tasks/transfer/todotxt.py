"""todo.txt: one task a line, with what the format has no place for as `key:value` words.

`@context` is a label; `+project` is one with its plus. `id` and `p` (the parent) are those of
topydo; `note`, `due_at`, `created_at`, `completed_at` and `full_title` are ours. Blanks in a value
are written as percent codes. A key that comes again is a word like any other.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterable
from datetime import datetime, time
from functools import partial
from typing import Any
from urllib.parse import quote, unquote

from services.tasks.domain import ExportedTask
from services.tasks.transfer.intake import Intake
from services.tasks.transfer.lines import LineSplitter
from services.tasks.transfer.rows import LineFault, decoded, read_lines, take_fields

_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_PRIORITY = re.compile(r"\([A-Z]\)")
_LETTERS = {"A": 5, "B": 4, "C": 3, "D": 2}
_OF_PRIORITY = {priority: letter for letter, priority in _LETTERS.items()}
_TEXT_KEYS = {
    "id": "external_id",
    "p": "parent_external_id",
    "note": "description",
    "full_title": "full_title",
}
_TIME_KEYS = {"due_at": "due_date", "created_at": "created_at", "completed_at": "completed_at"}


async def read(chunks: AsyncIterable[bytes], intake: Intake) -> None:
    """Puts every line of the file into `intake`. Raises TooManyLines."""
    await read_lines(chunks, LineSplitter(), partial(_take, intake), intake)


def _take(intake: Intake, number: int, line: bytes) -> None:
    try:
        fields = _fields(decoded(line).strip())
    except LineFault as fault:
        intake.refuse(number, fault.errors)
    else:
        take_fields(number, fields, intake)


def _fields(text: str) -> dict[str, Any]:
    words = text.split()
    fields: dict[str, Any] = {"labels": []}
    if words and words[0] == "x":
        fields["completed"] = True
        words.pop(0)
    if words and _PRIORITY.fullmatch(words[0]):
        fields["priority"] = _LETTERS.get(words.pop(0)[1], 1)
    dates: list[str] = []
    while words and len(dates) < 2 and _DATE.fullmatch(words[0]):
        dates.append(_midnight(words.pop(0)))
    if fields.get("completed") and dates:
        fields["completed_at"] = dates.pop(0)
    if dates:
        fields["created_at"] = dates[0]
    keys: set[str] = set()
    title = " ".join(word for word in words if not _took(word, fields, keys))
    fields["title"] = fields.pop("full_title", title)
    return fields


def _took(word: str, fields: dict[str, Any], keys: set[str]) -> bool:
    """Whether the word is no part of the title but a label or a value, which is put in `fields`."""
    if len(word) > 1 and word[0] in "@+":
        label = unquote(word[1:] if word[0] == "@" else word)
        if label not in fields["labels"]:
            fields["labels"].append(label)
        return True
    key, _, value = word.partition(":")
    if not value or key in keys:
        return False
    if key in _TEXT_KEYS:
        fields[_TEXT_KEYS[key]] = unquote(value)
    elif key in _TIME_KEYS:
        fields[_TIME_KEYS[key]] = value
    elif key == "due" and _DATE.fullmatch(value):
        fields.setdefault("due_date", _midnight(value))
    elif key == "pri" and len(value) == 1 and "A" <= value <= "Z":
        fields["priority"] = _LETTERS.get(value, 1)
    else:
        return False
    keys.add(key)
    return True


def _midnight(date: str) -> str:
    return f"{date}T00:00:00Z"


def write(task: ExportedTask) -> bytes:
    """The task as a line that `read` takes."""
    letter = _OF_PRIORITY.get(task.priority)
    words: list[str] = []
    if task.completed:
        words.append("x")
        # A creation date alone would be read as the date of completion.
        if task.completed_at is not None:
            words += [_date(task.completed_at), _date(task.created_at)]
    else:
        words += [f"({letter})"] if letter else []
        words.append(_date(task.created_at))
    plain, as_it_is = _plain(task.title)
    words += plain
    words += [_label(label) for label in task.labels]
    if task.completed and letter:
        words.append(f"pri:{letter}")
    if task.due_date is not None:
        words.append(f"due:{_date(task.due_date)}")
        if task.due_date.time() != time():
            words.append(f"due_at:{_time(task.due_date)}")
    if task.completed_at is not None:
        words.append(f"completed_at:{_time(task.completed_at)}")
    words.append(f"created_at:{_time(task.created_at)}")
    words.append(f"id:{_coded(task.external_id)}")
    if task.parent_external_id is not None:
        words.append(f"p:{_coded(task.parent_external_id)}")
    if task.description:
        words.append(f"note:{_coded(task.description)}")
    if not as_it_is:
        words.append(f"full_title:{_coded(task.title)}")
    return " ".join(words).encode() + b"\n"


def _plain(title: str) -> tuple[list[str], bool]:
    """The words of a title as other programs show them, and whether they say all of it.

    A word that would be read as something else is put between quotes.
    """
    words = title.split()
    quoted = [f"'{word}'" if _means_something(word) else word for word in words]
    return quoted, quoted == words and " ".join(words) == title


def _means_something(word: str) -> bool:
    """Whether the word, somewhere in a line, may be more than a word."""
    return bool(
        word == "x"
        or _DATE.fullmatch(word)
        or _PRIORITY.fullmatch(word)
        or _took(word, {"labels": []}, set())
    )


def _label(label: str) -> str:
    plus = label.startswith("+") and len(label) > 1
    return f"+{_coded(label[1:])}" if plus else f"@{_coded(label)}"


def _coded(text: str) -> str:
    """Without blanks; every other character that can be read stays as it is."""
    return "".join(
        quote(one) if one.isspace() or one == "%" or not one.isprintable() else one for one in text
    )


def _date(moment: datetime) -> str:
    return moment.date().isoformat()


def _time(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
