"""The change feed."""

from __future__ import annotations

import re
from typing import Any

from marshmallow import ValidationError, fields, validate

from services.tasks.changes import EVENTS
from services.tasks.schemas.requests import OwnerQuery
from services.tasks.schemas.v2 import TaskView
from shared.fields import Timestamp, WholeParameter
from shared.schemas import View

MAX_CHANGES = 1_000
_TOKEN = re.compile(r"([0-9a-f]{8})-(0|[1-9][0-9]{0,17})", re.ASCII)


class Token(fields.String):
    """A place in the feed, as an answer gave it; empty for its beginning."""

    def __init__(self, **options: Any) -> None:
        about = "Empty for the beginning, then the `next` of the answer before."
        super().__init__(
            metadata={"pattern": f"^(?:{_TOKEN.pattern})?$", "description": about}, **options
        )

    def _deserialize(  # type: ignore[override]
        self, value: Any, attr: str | None, data: Any, **kwargs: Any
    ) -> tuple[str, int] | None:
        text = super()._deserialize(value, attr, data, **kwargs)
        if not text:
            return None
        match = _TOKEN.fullmatch(text)
        if match is None:
            raise ValidationError("Not a token of this feed.")
        return match[1], int(match[2])


class ChangesQuery(OwnerQuery):
    since = Token()
    limit = WholeParameter(minimum=1, maximum=MAX_CHANGES, load_default=100)


class ChangeView(View):
    sequence = fields.Integer(metadata={"description": "Goes up by one with every change."})
    id = fields.UUID(metadata={"description": "The same as in webhooks."})
    type = fields.String(validate=validate.OneOf(EVENTS))
    task_id = fields.UUID()
    at = Timestamp()
    task = fields.Nested(
        TaskView,
        allow_none=True,
        metadata={"description": "The task as the change left it; null after a deletion."},
    )


class ChangesAnswer(View):
    changes = fields.Nested(ChangeView, many=True)
    next = fields.String(metadata={"description": "`since` of the next request."})
    has_more = fields.Boolean()
