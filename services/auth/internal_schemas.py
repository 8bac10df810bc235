"""What the feed of deleted accounts looks like to other services."""

from __future__ import annotations

from marshmallow import fields

from shared.fields import Timestamp, Uuid
from shared.schemas import View


class DeletionView(View):
    """An account that is gone, with all that was his."""

    sequence = fields.Integer(required=True)
    user_id = Uuid(required=True)
    at = Timestamp(required=True)


class DeletionPageView(View):
    deletions = fields.List(fields.Nested(DeletionView), required=True)
    next = fields.Integer(required=True)
    more = fields.Boolean(required=True)
    reset = fields.Boolean(required=True)
