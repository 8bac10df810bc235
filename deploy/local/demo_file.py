"""The file of tasks that the demo imports, and whether an export says the same."""

import contextlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from deploy.local.demo_client import DemoFailed

_PIECE = 16 * 1024
# What a task has in a field that its line leaves out.
_DEFAULTS: dict[str, Any] = {
    "description": None,
    "priority": 1,
    "completed": False,
    "due_date": None,
    "labels": [],
    "parent_external_id": None,
}
_FIELDS = ("external_id", "title", *_DEFAULTS, "created_at", "completed_at")
_TIMES = frozenset({"created_at", "completed_at", "due_date"})


class TaskFile:
    """A JSON Lines file; lines count from 1, and blank ones are none."""

    def __init__(self, path: Path) -> None:
        """Raises `DemoFailed` when the file cannot be read."""
        self.path = path
        try:
            content = path.read_bytes()
        except OSError as error:
            raise DemoFailed(f"{path}: {error.strerror}") from None
        self.size = len(content)
        lines = enumerate(content.split(b"\n"), 1)
        self.lines = {number: line for number, line in lines if line.strip()}
        self._content = content

    def pieces(self) -> Iterator[bytes]:
        """The content as it goes over the wire."""
        for start in range(0, self.size, _PIECE):
            yield self._content[start : start + _PIECE]

    def tasks(self, refused: Iterable[int]) -> dict[str, dict[str, Any]]:
        """The tasks of all lines but the `refused` ones, by external id.

        One without it, which the service names as it likes, goes by its line. Raises `DemoFailed`
        when a line is no task, or when two have the same external id.
        """
        left_out = set(refused)
        found: dict[str, dict[str, Any]] = {}
        for number, line in self.lines.items():
            if number in left_out:
                continue
            try:
                task = json.loads(line.removeprefix(b"\xef\xbb\xbf"))
                name = task.get("external_id") or f"line {number}"
            except (ValueError, AttributeError):
                raise DemoFailed(f"line {number} was taken, and it is no task") from None
            if name in found:
                raise DemoFailed(f"line {number} was taken, and {name} is there already")
            found[name] = task
        return found


def read_export(body: bytes) -> dict[str, dict[str, Any]]:
    """The tasks of a JSON Lines export by external id."""
    rows = [json.loads(line) for line in body.split(b"\n") if line.strip()]
    return {row["external_id"]: row for row in rows}


def differences(
    given: Mapping[str, Mapping[str, Any]], exported: Mapping[str, Mapping[str, Any]]
) -> list[str]:
    """What the export says otherwise, in words; times are compared as instants."""
    missing = given.keys() - exported.keys()
    added = sorted(exported.keys() - given.keys())
    found = [
        told
        for name in given.keys() & exported.keys()
        for told in _differences(name, given[name], exported[name])
    ]
    for name in missing:
        nameless = not given[name].get("external_id")
        same = [
            other
            for other in added
            if nameless and not _differences(name, given[name], exported[other])
        ]
        if same:
            added.remove(same[0])
        else:
            found.append(f"{name} is missing")
    return sorted(found + [f"{name} was not in the file" for name in added])


def _differences(name: str, given: Mapping[str, Any], exported: Mapping[str, Any]) -> list[str]:
    found = []
    for field in _FIELDS:
        chosen_by_service = field in _TIMES - _DEFAULTS.keys() or field == "external_id"
        if chosen_by_service and given.get(field) is None:
            continue
        wanted, got = _value(given, field), _value(exported, field)
        if wanted != got:
            found.append(f"{name}: {field} is {_short(got)}, not {_short(wanted)}")
    return found


def common_label(tasks: Iterable[Mapping[str, Any]]) -> tuple[str, int] | None:
    """The label that most of the tasks carry, with their number; None when none has a label."""
    counted = Counter(label for task in tasks for label in set(task.get("labels") or ()))
    return min(counted.items(), key=lambda pair: (-pair[1], pair[0])) if counted else None


def telling_word(tasks: Mapping[str, Mapping[str, Any]]) -> tuple[str, str]:
    """A word to search for and the external id of a task that has it in its title.

    A long word that a few tasks share; without one, any title's longest.
    """
    words = {name: _words(task["title"]) for name, task in tasks.items()}
    shared = Counter(
        word
        for name, task in tasks.items()
        for word in words[name] | _words(task.get("description") or "")
    )
    order = sorted(
        ((word, name) for name, found in words.items() for word in found),
        key=lambda pair: (not 2 <= shared[pair[0]] <= 9, len(pair[0]) < 6, -shared[pair[0]], pair),
    )
    if order:
        return order[0]
    name = next(iter(tasks))
    return max(str(tasks[name]["title"]).split(), key=len), name


def _words(text: str) -> set[str]:
    """Words as any search splits them: nothing but letters, and an end on both sides."""
    return {word.lower() for word in re.findall(r"(?<!\S)[A-Za-z]+(?!\S)", text)}


def _value(task: Mapping[str, Any], field: str) -> object:
    value = task.get(field, _DEFAULTS.get(field))
    if field in _TIMES and isinstance(value, str):
        with contextlib.suppress(ValueError):
            # RFC 3339 section 5.6: T and Z may be small letters.
            return datetime.fromisoformat(value.upper())
    return value


def _short(value: object) -> str:
    text = value.isoformat() if isinstance(value, datetime) else repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
