"""The CSV of Todoist: columns of its own, depth as a number, and 1 for the most urgent.

Its tasks have no names, so they are named by what they say and where they hang: the same file gives
the same names again. Who they are assigned to and how they are shown has no place here.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from services.tasks.transfer.rows import LineFault

_COLUMNS = {"type", "content", "priority", "indent"}
# Its 4 is a task without a priority.
_PRIORITIES = {"": 1, "1": 5, "2": 4, "3": 3, "4": 1}
_DATE_FORMATS = ("%Y-%m-%d", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M:%S")
_NO_DATE = "Must be a day or a time such as 2026-12-24 18:00; tasks do not recur."


def is_todoist(columns: Collection[str]) -> bool:
    """Whether a header with these columns is one of Todoist."""
    return set(columns) >= _COLUMNS


class TodoistRows:
    """Reads row after row: what a task hangs below stands above it."""

    def __init__(self) -> None:
        self._branch: list[str] = []
        self._times: Counter[str] = Counter()

    def fields(self, cells: Mapping[str, str]) -> dict[str, Any] | None:
        """The fields of a row, None for one that only says how the list is shown.

        Raises LineFault.
        """
        kind = cells["type"].strip().lower()
        if kind == "meta":
            return None
        if kind != "task":
            raise LineFault({"type": ["Only tasks are imported."]})
        words = cells["content"].split()
        labels = [word[1:] for word in words if len(word) > 1 and word.startswith("@")]
        parent, name = self._place(cells)
        priority = cells["priority"].strip()
        if priority not in _PRIORITIES:
            raise LineFault({"priority": ["Must be 1 to 4."]})
        return {
            "external_id": name,
            "title": " ".join(word for word in words if word[1:] not in labels or word[0] != "@"),
            "description": cells.get("description") or None,
            "priority": _PRIORITIES[priority],
            "due_date": _due(cells.get("date", "").strip(), cells.get("timezone", "").strip()),
            "labels": list(dict.fromkeys(labels)),
            "parent_external_id": parent,
        }

    def _place(self, cells: Mapping[str, str]) -> tuple[str | None, str]:
        """The name of the task that the row hangs below, and its own. Raises LineFault."""
        indent = cells["indent"].strip() or "1"
        level = int(indent) if indent in "123456789" else 0
        if not 1 <= level <= len(self._branch) + 1:
            raise LineFault({"indent": ["Must be at most one more than that of the task above."]})
        del self._branch[level - 1 :]
        parent = self._branch[-1] if self._branch else None
        digest = hashlib.sha256(f"{parent} {cells['content']}".encode()).hexdigest()[:32]
        self._times[digest] += 1
        times = self._times[digest]
        name = f"todoist:{digest}" + (f"-{times}" if times > 1 else "")
        self._branch.append(name)
        return parent, name


def _due(text: str, zone: str) -> str | None:
    """A day is its midnight in UTC, as in the other formats; a time is one of its zone."""
    if not text:
        return None
    for form in _DATE_FORMATS:
        try:
            moment = datetime.strptime(text, form).replace(tzinfo=UTC)
            if form != _DATE_FORMATS[0]:
                moment = moment.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
        except (ValueError, OverflowError):
            continue
        except (KeyError, OSError):
            # An OSError for the name of a folder of zones, or one too long for a file.
            raise LineFault({"timezone": ["No such time zone."]}) from None
        return moment.isoformat()
    raise LineFault({"date": [_NO_DATE]})
