"""What a task is and the rules that hold whoever asks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, NamedTuple
from uuid import UUID

from shared.errors import BadRequest, Conflict, Gone, NotFound, PreconditionFailed
from shared.ids import uuid7

MAX_TITLE = 200
MAX_DESCRIPTION_V1 = 1_000
MAX_DESCRIPTION = 10_000
MIN_PRIORITY, DEFAULT_PRIORITY, MAX_PRIORITY = 1, 1, 5
MAX_LABELS = 20
MAX_LABEL = 50
MAX_EXTERNAL_ID = 200
MAX_LEVELS = 10  # a task without a parent is on level 1
MAX_BULK = 50


class TaskNotFound(NotFound):
    """There is no such task, it is deleted, or it is somebody else's."""

    def __init__(self) -> None:
        super().__init__("Task not found")


class TaskChanged(PreconditionFailed):
    """The task is not in the state that If-Match names."""

    def __init__(self, etag: str) -> None:
        super().__init__("The task has changed since you read it", details={"etag": [etag]})


class CursorRefused(Conflict):
    """The cursor is not one that was given for this list."""

    def __init__(self, reason: str) -> None:
        super().__init__(details={"cursor": [reason]})


class FeedExpired(Gone):
    """The feed cannot be followed from there; `fresh_start` is a token of the present."""

    def __init__(self, fresh_start: str) -> None:
        super().__init__(
            "The changes after this token are not kept any longer. List the tasks, then follow "
            "the changes from fresh_start.",
            details={"since": ["Expired."], "fresh_start": fresh_start},
        )


class FeedForeign(Conflict):
    """The token is one of another feed, or of none; `fresh_start` is one of this feed's present."""

    def __init__(self, fresh_start: str) -> None:
        super().__init__(
            details={"since": ["Not a token of this feed."], "fresh_start": fresh_start}
        )


class WebhookNotFound(NotFound):
    """There is no such webhook, or it is somebody else's."""

    def __init__(self) -> None:
        super().__init__("Webhook not found")


class DeliveryNotFound(NotFound):
    """There is no such delivery, it is not kept any longer, or it is somebody else's."""

    def __init__(self) -> None:
        super().__init__("Delivery not found")


class TooManyWebhooks(Conflict):
    """The owner has as many webhooks as he may have."""

    def __init__(self, maximum: int) -> None:
        super().__init__(details={"body": [f"At most {maximum} webhooks."]})


class RequestInFlight(Conflict):
    """A request with the same idempotency key has not been answered yet."""

    def __init__(self) -> None:
        super().__init__(
            "A request with this idempotency key is still running", headers={"Retry-After": "1"}
        )


class ExternalIdTaken(Conflict):
    """Another task of the same owner has this external_id."""

    def __init__(self) -> None:
        super().__init__(details={"external_id": ["Another task of yours has it."]})


class ParentRefused(Conflict):
    """The parent does not exist, is below the task itself, or is too deep already."""

    MISSING: ClassVar[str] = "No such task."
    CYCLE: ClassVar[str] = "A task cannot be below itself."
    TOO_DEEP: ClassVar[str] = f"Tasks nest at most {MAX_LEVELS} levels deep."

    def __init__(self, reason: str) -> None:
        super().__init__(details={"parent_id": [reason]})


class TooManyLines(BadRequest):
    """An import holds more lines than one request may bring."""

    def __init__(self, maximum: int) -> None:
        super().__init__(
            "The file is too long", details={"body": [f"At most {maximum} lines in one import."]}
        )


class Task(NamedTuple):
    """One task; the names are those of the columns. All times are in UTC."""

    id: UUID
    owner_id: UUID
    title: str
    description: str | None
    priority: int
    due_date: datetime | None
    completed: bool
    completed_at: datetime | None
    labels: list[str]
    parent_id: UUID | None
    external_id: str | None
    version: int
    created_at: datetime
    updated_at: datetime

    @property
    def etag(self) -> str:
        """A strong entity tag (RFC 9110 section 8.8.3): every stored change moves the version."""
        return f'"{self.id}.{self.version}"'

    @property
    def recurrence(self) -> None:
        """No task recurs."""
        return None

    def changed(self, fields: Mapping[str, Any], now: datetime) -> Task:
        """The task after setting `fields`; the very same one when that changes nothing."""
        after = self._replace(**fields)
        if after == self:
            return self
        if after.completed != self.completed:
            after = after._replace(completed_at=now if after.completed else None)
        # Clocks of two replicas may differ a little; a task never seems to get older.
        return after._replace(version=self.version + 1, updated_at=max(now, self.updated_at))


def new_task(owner_id: UUID, fields: Mapping[str, Any], now: datetime) -> Task:
    """A task made at `now`; what `fields` leaves out has its default."""
    completed = fields.get("completed", False)
    return Task(
        id=uuid7(),
        owner_id=owner_id,
        title=fields["title"],
        description=fields.get("description"),
        priority=fields.get("priority", DEFAULT_PRIORITY),
        due_date=fields.get("due_date"),
        completed=completed,
        completed_at=now if completed else None,
        labels=fields.get("labels", []),
        parent_id=fields.get("parent_id"),
        external_id=fields.get("external_id"),
        version=1,
        created_at=now,
        updated_at=now,
    )


@dataclass(frozen=True, slots=True)
class SortKey:
    """One column of an order; tasks without a value come last in both directions."""

    field: str
    descending: bool = False


# Where a task stands in an order: its values of the sort fields, and its id.
Place = Sequence[Any]

NEWEST_FIRST = (SortKey("created_at", descending=True),)
# Of tasks with words that are searched: those that speak of them most, in the title above all.
BEST_FIRST = (SortKey("relevance", descending=True), *NEWEST_FIRST)
SORTABLE = ("priority", "due_date", "created_at", "updated_at", "title", "completed")


class ImportedTask(NamedTuple):
    """A task as a file gives it; `created_at` None means the time of the import."""

    external_id: str | None
    title: str
    description: str | None
    priority: int
    completed: bool
    completed_at: datetime | None
    created_at: datetime | None
    due_date: datetime | None
    labels: list[str]
    parent_external_id: str | None


class ExportedTask(NamedTuple):
    """A task as a file shows it; a task without an `external_id` goes by its id."""

    external_id: str
    title: str
    description: str | None
    priority: int
    completed: bool
    completed_at: datetime | None
    created_at: datetime
    due_date: datetime | None
    labels: list[str]
    parent_external_id: str | None
    id: UUID
