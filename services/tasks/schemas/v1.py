"""Version 1: flat tasks and forgiving changes."""

from __future__ import annotations

from marshmallow import fields

from services.tasks.domain import DEFAULT_PRIORITY, MAX_BULK, MAX_DESCRIPTION_V1
from services.tasks.schemas import task_fields
from shared.fields import Flag, Timestamp
from shared.schemas import JsonArray, StrictSchema, View


class NewTask(StrictSchema):
    title = task_fields.title(required=True)
    description = task_fields.description(MAX_DESCRIPTION_V1, load_default=None)
    priority = task_fields.priority(load_default=DEFAULT_PRIORITY)
    due_date = task_fields.due_date(load_default=None)
    completed = Flag(load_default=False)


class TaskChanges(StrictSchema):
    """The fields to change; the others stay."""

    title = task_fields.title()
    description = task_fields.description(MAX_DESCRIPTION_V1)
    priority = task_fields.priority()
    due_date = task_fields.due_date()
    completed = Flag()


NEW_TASKS = JsonArray(
    MAX_BULK, "As the body of POST /v1/tasks; one that is not is named in `errors`."
)


class TaskView(View):
    id = fields.UUID()
    title = fields.String()
    description = fields.String(allow_none=True)
    priority = fields.Integer()
    due_date = Timestamp(allow_none=True)
    completed = fields.Boolean()
    created_at = Timestamp()
    updated_at = Timestamp()


class TaskAnswer(View):
    task = fields.Nested(TaskView)


class ChangedTask(View):
    task = fields.Nested(TaskView)
    message = fields.String()


class Message(View):
    message = fields.String()


class Pagination(View):
    skip = fields.Integer()
    limit = fields.Integer()
    total = fields.Integer()
    returned = fields.Integer()


class ListFilters(View):
    completed = fields.Boolean(allow_none=True)


class TaskList(View):
    tasks = fields.Nested(TaskView, many=True)
    pagination = fields.Nested(Pagination)
    filters = fields.Nested(ListFilters)


class BulkError(View):
    index = fields.Integer()
    error = fields.String()


class BulkSummary(View):
    total_submitted = fields.Integer()
    successful = fields.Integer()
    failed = fields.Integer()


class BulkAnswer(View):
    created = fields.Nested(TaskView, many=True)
    errors = fields.Nested(BulkError, many=True)
    summary = fields.Nested(BulkSummary)
