"""Version 2: the bare task, and changes that say exactly what they mean."""

from __future__ import annotations

from typing import Any, ClassVar

from marshmallow import fields, post_load, validate

from services.tasks.domain import DEFAULT_PRIORITY, MAX_BULK
from services.tasks.schemas import task_fields
from shared.fields import Flag, Timestamp, Uuid
from shared.schemas import StrictSchema, View


class TaskInput(StrictSchema):
    """Fields of a task; nothing recurs, so `recurrence` says nothing."""

    recurrence = task_fields.Nothing()

    @post_load
    def without_recurrence(self, fields: dict[str, Any], **_: Any) -> dict[str, Any]:
        fields.pop("recurrence", None)
        return fields


class NewTask(TaskInput):
    """A whole task; what is left out has its default."""

    title = task_fields.title(required=True)
    description = task_fields.description(load_default=None)
    priority = task_fields.priority(load_default=DEFAULT_PRIORITY)
    due_date = task_fields.due_date(load_default=None)
    completed = Flag(load_default=False)
    labels = task_fields.Labels(load_default=list)
    parent_id = Uuid(allow_none=True, load_default=None)
    external_id = task_fields.external_id(load_default=None)


class TaskPatch(TaskInput):
    """A merge patch (RFC 7396): null empties a field that may be empty, the absent ones stay."""

    title = task_fields.title()
    description = task_fields.description()
    priority = task_fields.priority()
    due_date = task_fields.due_date()
    completed = Flag()
    labels = task_fields.Labels()
    parent_id = Uuid(allow_none=True)
    external_id = task_fields.external_id()


class NewTasks(StrictSchema):
    """Many tasks at once."""

    mode = fields.String(
        validate=validate.OneOf(["partial", "atomic"]),
        load_default="partial",
        # What an item must be hangs on the mode, which the document cannot say: in `partial` a bad
        # one is an answer, in `atomic` it refuses the request. So it shows the mode with answers.
        metadata={
            "description": "`partial`: each for itself. Also `atomic`: all of them or none.",
            "enum": ["partial"],
        },
    )
    dry_run = Flag(load_default=False, metadata={"description": "Only say what would be answered."})
    tasks = fields.List(
        fields.Raw(allow_none=True),
        required=True,
        validate=validate.Length(max=MAX_BULK, error=f"At most {MAX_BULK} tasks."),
        metadata={"description": "Each as the body of POST /v2/tasks; refused one by one."},
    )


class TaskView(View):
    id = fields.UUID()
    title = fields.String()
    description = fields.String(allow_none=True)
    priority = fields.Integer()
    due_date = Timestamp(allow_none=True)
    completed = fields.Boolean()
    completed_at = Timestamp(allow_none=True)
    labels = fields.List(fields.String())
    parent_id = fields.UUID(allow_none=True)
    external_id = fields.String(allow_none=True)
    recurrence = task_fields.Nothing()
    version = fields.Integer()
    etag = fields.String()
    created_at = Timestamp()
    updated_at = Timestamp()


class TaskPage(View):
    count = fields.Integer()
    next = fields.String(allow_none=True)
    previous = fields.String(allow_none=True)
    results = fields.Nested(TaskView, many=True)


class CursorPage(View):
    next_cursor = fields.String(allow_none=True)
    results = fields.Nested(TaskView, many=True)


class TrashedTask(TaskView):
    deleted_at = Timestamp()
    purge_at = Timestamp(metadata={"description": "From then on it cannot be restored."})


class TrashPage(View):
    count = fields.Integer()
    next = fields.String(allow_none=True)
    previous = fields.String(allow_none=True)
    results = fields.Nested(TrashedTask, many=True)


class BulkItemError(View):
    code = fields.String()
    message = fields.String()
    details = fields.Dict(
        keys=fields.String(), metadata={"description": "By JSON pointer into the request."}
    )


class BulkResult(View):
    optional: ClassVar[frozenset[str]] = frozenset({"task", "error"})

    index = fields.Integer()
    status = fields.Integer(
        metadata={"description": "201 created; 200 there already; otherwise refused."}
    )
    task = fields.Nested(TaskView)
    error = fields.Nested(BulkItemError)


class BulkCounts(View):
    total_submitted = fields.Integer()
    successful = fields.Integer()
    failed = fields.Integer()
    dry_run = fields.Boolean()


class BulkResults(View):
    results = fields.Nested(BulkResult, many=True)
    summary = fields.Nested(BulkCounts)
