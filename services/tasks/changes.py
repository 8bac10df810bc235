"""What happens to tasks, as the change feed and webhooks tell it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Self
from uuid import UUID

from services.tasks.domain import Task
from shared.ids import uuid7

CREATED, UPDATED, COMPLETED = "task.created", "task.updated", "task.completed"
DELETED, RESTORED = "task.deleted", "task.restored"
EVENTS = (CREATED, UPDATED, COMPLETED, DELETED, RESTORED)

# They move with every change, so that they moved says nothing.
_ALWAYS_MOVING = frozenset({"version", "etag", "updated_at"})


class Change(NamedTuple):
    """One change of one task; `before` is the task before it, if it was live then."""

    id: UUID
    type: str
    task: Task
    before: Task | None

    @classmethod
    def of(cls, before: Task | None, after: Task) -> Self:
        """A task created, or changed from `before`."""
        kind = CREATED
        if before is not None:
            kind = COMPLETED if after.completed and not before.completed else UPDATED
        return cls(uuid7(), kind, after, before)

    @classmethod
    def deletion(cls, task: Task) -> Self:
        """`task` as it lies in the trash."""
        return cls(uuid7(), DELETED, task, None)

    @classmethod
    def restoration(cls, task: Task) -> Self:
        """`task` as it came out of the trash."""
        return cls(uuid7(), RESTORED, task, None)

    @property
    def live(self) -> int:
        """By how much the number of live tasks moves."""
        if self.type == DELETED:
            return -1
        return 0 if self.before is not None else 1

    @property
    def completed(self) -> int:
        """By how much the number of live and completed tasks moves."""
        if self.type == DELETED:
            return -int(self.task.completed)
        return int(self.task.completed) - int(self.before is not None and self.before.completed)

    @property
    def previous(self) -> Mapping[str, Any] | None:
        """The values that an update replaced."""
        if self.before is None:
            return None
        old, new = snapshot(self.before), snapshot(self.task)
        return {
            name: value
            for name, value in old.items()
            if value != new[name] and name not in _ALWAYS_MOVING
        }


def snapshot(task: Task) -> dict[str, Any]:
    """The task as version 2 shows it."""
    return {
        "id": task.id,
        "title": task.title,
        "description": task.description,
        "priority": task.priority,
        "due_date": task.due_date,
        "completed": task.completed,
        "completed_at": task.completed_at,
        "labels": task.labels,
        "parent_id": task.parent_id,
        "external_id": task.external_id,
        "recurrence": task.recurrence,
        "version": task.version,
        "etag": task.etag,
        "created_at": task.created_at,
        "updated_at": task.updated_at,
    }
