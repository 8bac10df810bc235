"""Tasks in files, and what an import answers."""

from __future__ import annotations

from typing import Any

from marshmallow import ValidationError, fields, validate, validates_schema

from services.tasks.domain import DEFAULT_PRIORITY
from services.tasks.schemas import task_fields
from services.tasks.schemas.requests import OwnerQuery
from shared.fields import Flag, FlagParameter, Timestamp
from shared.schemas import StrictSchema, View


class ImportLine(StrictSchema):
    """One task of a JSON Lines file."""

    external_id = task_fields.external_id(load_default=None)
    title = task_fields.title(required=True)
    description = task_fields.description(load_default=None)
    priority = task_fields.priority(load_default=DEFAULT_PRIORITY)
    completed = Flag(load_default=False)
    completed_at = Timestamp(allow_none=True, load_default=None)
    created_at = Timestamp(allow_none=True, load_default=None)
    due_date = task_fields.due_date(load_default=None)
    labels = task_fields.Labels(load_default=list)
    parent_external_id = task_fields.external_id(load_default=None)

    @validates_schema
    def only_completed_tasks_have_a_time(self, fields: dict[str, Any], **_: Any) -> None:
        if fields["completed_at"] is not None and not fields["completed"]:
            raise ValidationError("Only a completed task has one.", "completed_at")


FORMAT_NAMES = ("jsonl", "csv", "ics", "todotxt")


class FormatQuery(OwnerQuery):
    format = fields.String(load_default="jsonl", validate=validate.OneOf(FORMAT_NAMES))


class ImportQuery(OwnerQuery):
    format = fields.String(
        load_default=None,
        validate=validate.OneOf(FORMAT_NAMES),
        metadata={"description": "What the Content-Type says, unless given."},
    )
    dry_run = FlagParameter(
        load_default=False, metadata={"description": "Only say what would happen."}
    )


class RefusedLine(View):
    line = fields.Integer(metadata={"description": "Counted from 1; blank lines count."})
    errors = fields.Dict(keys=fields.String(), values=fields.List(fields.String()))


class ImportAnswer(View):
    imported = fields.Integer()
    unchanged = fields.Integer()
    refused = fields.Nested(RefusedLine, many=True)
