"""What handlers return, and the fast way from a domain object to its JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from operator import attrgetter
from typing import Any
from uuid import UUID

import orjson
from marshmallow import Schema, fields

Projection = Callable[[Any], Any]


@dataclass(slots=True)
class Reply:
    """A handler's answer: `data` is shown through the endpoint's `returns` schema.

    `status` and `shape` override the endpoint's own, for endpoints that declare several. `cookies`
    are values of Set-Cookie, of which an answer may have several.
    """

    data: Any = None
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    shape: type[Schema] | None = None
    cookies: Sequence[str] = ()


@cache
def projector(schema: type[Schema]) -> Projection:
    """A function that turns an object or mapping into what `schema` would dump.

    A mapping may lack the `optional` fields of a View. Times and UUIDs stay as they are: orjson
    writes them. A test holds the result equal to `schema().dump(...)`.
    """
    optional: frozenset[str] = getattr(schema, "optional", frozenset())
    getters = [
        (bound.data_key or name, bound.attribute or name, _inner(bound))
        for name, bound in schema().dump_fields.items()
    ]

    keys = [key for key, _, _ in getters]
    of_object = attrgetter(*(attribute for _, attribute, _ in getters), "__class__")
    deeper = [(key, inner) for key, _, inner in getters if inner is not None]

    def project(value: Any) -> Any:
        if type(value) is orjson.Fragment:
            # It was shown and encoded before.
            return value
        # A tuple is asked first: a look at its type is a tenth of the other question.
        if isinstance(value, tuple) or not isinstance(value, Mapping):
            # One call for all attributes; `__class__` keeps it a tuple when there is but one.
            shown = dict(zip(keys, of_object(value), strict=False))
        else:
            shown = {
                key: value[attribute]
                for key, attribute, _ in getters
                if attribute not in optional or attribute in value
            }
        for key, inner in deeper:
            raw = shown.get(key)
            if raw is not None:
                shown[key] = inner(raw)
        return shown

    return project


def _inner(bound: fields.Field[Any]) -> Projection | None:
    """How the value of one field is projected; None where it goes out as it is."""
    if isinstance(bound, fields.Nested):
        below = projector(type(bound.schema))
        return (lambda many: [below(one) for one in many]) if bound.many else below
    if isinstance(bound, fields.List):
        each = _inner(bound.inner)
        return None if each is None else (lambda many: [each(one) for one in many])
    return None


def encode(data: Any, returns: type[Schema] | None) -> bytes:
    """`data` as JSON text, times in UTC with `Z`."""
    shown = data if returns is None else projector(returns)(data)
    return orjson.dumps(shown, default=_uuid_text, option=orjson.OPT_UTC_Z)


def _uuid_text(value: Any) -> str:
    """orjson knows the standard UUID, but not asyncpg's subclass of it."""
    if isinstance(value, UUID):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")
