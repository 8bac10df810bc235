"""Schemas that every service answers with or builds on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

from marshmallow import EXCLUDE, RAISE, Schema, ValidationError, fields
from marshmallow import missing as missing_
from marshmallow.decorators import POST_LOAD, PRE_LOAD, VALIDATES, VALIDATES_SCHEMA

from shared.errors import BadRequest

MAX_ERRORS_SHOWN = 20
_NAME_SHOWN = 100
_REQUIRED = object()


class _Declared(NamedTuple):
    """A field as good input is loaded: what it is called then, how it is read, what it is else."""

    name: str
    read: Callable[..., Any]
    default: Any


class StrictSchema(Schema):
    """Refuses unknown fields: what a client sends is used or named as wrong, never ignored.

    Good input is read field by field, at half of what marshmallow takes to be ready for bad one.
    All other input is marshmallow's, which names everything that is wrong with it. A test holds
    the two ways equal.
    """

    class Meta:
        unknown = RAISE

    def load(self, data: Any, **options: Any) -> Any:
        """As marshmallow's own. Raises ValidationError."""
        if type(data) is dict and not options and self._is_plain:
            try:
                return self._load_good(data)
            except ValidationError:
                pass
        return super().load(data, **options)

    def _load_good(self, data: dict[str, Any]) -> Any:
        declared = self._declared
        values: dict[str, Any] = {}
        for key, raw in data.items():
            field = declared.get(key)
            if field is None:
                raise ValidationError("unknown")
            values[field.name] = field.read(raw, key, data)
        if len(values) < len(declared):
            for key, field in declared.items():
                if key in data or field.default is missing_:
                    continue
                if field.default is _REQUIRED:
                    raise ValidationError("required")
                values[field.name] = field.default() if callable(field.default) else field.default
        if not self._hooks[POST_LOAD]:
            return values
        return self._invoke_load_processors(
            POST_LOAD, values, many=False, original_data=data, partial=None, unknown=RAISE
        )

    @cached_property
    def _is_plain(self) -> bool:
        """Whether nothing but its fields, and what is done with them in the end, judges input."""
        judged = any(self._hooks[hook] for hook in (PRE_LOAD, VALIDATES, VALIDATES_SCHEMA))
        nested = any("." in field.name for field in self._declared.values())
        return not (judged or nested or self.many or self.partial) and self.unknown == RAISE

    @cached_property
    def _declared(self) -> dict[str, _Declared]:
        return {
            name if field.data_key is None else field.data_key: _Declared(
                field.attribute or name,
                field.deserialize,
                _REQUIRED if field.required else field.load_default,
            )
            for name, field in self.load_fields.items()
        }


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
