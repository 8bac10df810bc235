"""Schemas that every service answers with or builds on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from marshmallow import EXCLUDE, RAISE, Schema, ValidationError, fields

from shared.errors import BadRequest

MAX_ERRORS_SHOWN = 20
_NAME_SHOWN = 100


class StrictSchema(Schema):
    """Refuses unknown fields: what a client sends is used or named as wrong, never ignored."""

    class Meta:
        unknown = RAISE


class HeaderSchema(Schema):
    """Request headers of one endpoint; all others are none of its business."""

    class Meta:
        unknown = EXCLUDE


@dataclass(frozen=True, slots=True)
class JsonArray:
    """A body that is an array of at most `maximum` values, each judged by the operation itself.

    `about` says to readers of the documentation what a value should be.
    """

    maximum: int
    about: str

    def load(self, data: Any) -> list[Any]:
        """Raises ValidationError for what is no array, BadRequest for one that is too long."""
        if not isinstance(data, list):
            raise ValidationError("Must be an array.")
        if len(data) > self.maximum:
            raise BadRequest("Too many items", details={"body": [f"At most {self.maximum} items."]})
        return data

    @property
    def json_schema(self) -> dict[str, Any]:
        return {"type": "array", "maxItems": self.maximum, "items": {"description": self.about}}


class View(Schema):
    """A shape that only goes out; a consumer may count on every field that is not `optional`."""

    optional: ClassVar[frozenset[str]] = frozenset()


class ErrorBody(View):
    code = fields.String(required=True)
    message = fields.String(required=True)
    details = fields.Dict(keys=fields.String(), required=True)
    request_id = fields.String(required=True)


class ErrorView(View):
    """The house's error envelope."""

    error = fields.Nested(ErrorBody, required=True)


class ProblemView(View):
    """RFC 9457 section 3.1, with our code and details."""

    type = fields.String(required=True)
    title = fields.String(required=True)
    status = fields.Integer(required=True)
    detail = fields.String(required=True)
    instance = fields.String(required=True)
    code = fields.String(required=True)
    errors = fields.Dict(keys=fields.String(), required=True)


def flatten_messages(messages: Any, *, prefix: str = "") -> dict[str, list[str]]:
    """marshmallow's nested messages as `{"labels.3": ["…"]}`, at most 20 fields.

    A message about the whole value is filed under `body`, or under the field that holds it.
    """
    flat: dict[str, list[str]] = {}

    def descend(node: Any, path: str) -> None:
        if isinstance(node, dict):
            for key, below in node.items():
                name = str(key)[:_NAME_SHOWN].encode("utf-8", "replace").decode()
                whole = key == "_schema"
                descend(below, path or "body" if whole else f"{path}.{name}" if path else name)
        elif len(flat) < MAX_ERRORS_SHOWN or path in flat:
            texts = node if isinstance(node, list) else [node]
            flat.setdefault(path, []).extend(str(text) for text in texts)

    descend(messages if isinstance(messages, dict) else {"_schema": messages}, prefix)
    return flat
