"""The fast projection shows what the schema's own dump shows, for every View of every service."""

from __future__ import annotations

import importlib
import pkgutil
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import ModuleType, SimpleNamespace
from typing import Any
from uuid import UUID

import orjson
import pytest
from asyncpg.pgproto import pgproto
from marshmallow import Schema, fields

import services
from shared.answers import encode, projector
from shared.fields import Timestamp, Uuid
from shared.schemas import View


def modules(package: ModuleType) -> Iterator[ModuleType]:
    for found in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
        if found.name.endswith("__main__") or ".migrations" in found.name:
            continue
        module = importlib.import_module(found.name)
        yield module
        if found.ispkg:
            yield from modules(module)


def descendants(cls: type[View] = View) -> Iterator[type[View]]:
    for child in cls.__subclasses__():
        yield child
        yield from descendants(child)


def all_views() -> list[type[View]]:
    loaded = list(modules(services))
    assert loaded
    ours = {cls for cls in descendants() if cls.__module__.startswith(("shared.", "services."))}
    return sorted(ours, key=lambda cls: f"{cls.__module__}.{cls.__name__}")


VALUES: dict[type[fields.Field[Any]], Any] = {
    Timestamp: lambda dice: (
        datetime(2030, 1, 2, tzinfo=UTC)
        + timedelta(microseconds=dice.choice([0, 1, dice.randrange(10**12)]))
    ),
    Uuid: lambda dice: UUID(int=dice.getrandbits(128)),
    fields.UUID: lambda dice: pgproto.UUID(UUID(int=dice.getrandbits(128)).bytes),
    fields.Integer: lambda dice: dice.randrange(-(2**53), 2**53),
    fields.Float: lambda dice: dice.random() * 1e9,
    fields.Boolean: lambda dice: dice.random() < 0.5,
    fields.Dict: lambda dice: {"a": dice.randrange(9), "b": [None, "x"]},
    fields.String: lambda dice: "".join(dice.choice('aé😀"\\\n\x00/') for _ in range(5)),
}


def value_of(bound: fields.Field[Any], dice: random.Random) -> Any:
    """A value such as a handler may give for the field `bound`."""
    if bound.allow_none and dice.random() < 0.3:
        return None
    if isinstance(bound, fields.Nested):
        many = range(dice.randrange(3)) if bound.many else None
        below = type(bound.schema)
        return [sample(below, dice) for _ in many] if many is not None else sample(below, dice)
    if isinstance(bound, fields.List):
        return [value_of(bound.inner, dice) for _ in range(dice.randrange(3))]
    if isinstance(bound, fields.Dict) and bound.value_field is not None:
        return {"a": value_of(bound.value_field, dice)}
    for cls in type(bound).__mro__:
        if cls in VALUES:
            return VALUES[cls](dice)
    # What has no entry above goes out as it is: only plain values do so in both ways.
    return dice.choice([None, 1, "x", [1, {"a": 2}]])


def sample(schema: type[Schema], dice: random.Random) -> Any:
    """An object, or a mapping, that `schema` can show."""
    named = {
        bound.attribute or name: value_of(bound, dice)
        for name, bound in schema().dump_fields.items()
    }
    return named if dice.random() < 0.5 else SimpleNamespace(**named)


@pytest.mark.parametrize("view", all_views(), ids=lambda cls: f"{cls.__module__}.{cls.__name__}")
def test_projection_equals_dump(view: type[View]) -> None:
    dice = random.Random(view.__name__)
    for _ in range(50):
        given = sample(view, dice)
        expected = orjson.loads(orjson.dumps(view().dump(given)))
        assert orjson.loads(encode(given, view)) == expected


def test_a_missing_attribute_is_an_error_and_no_gap() -> None:
    class NamedView(View):
        name = fields.String()

    with pytest.raises(KeyError):
        projector(NamedView)({})
    with pytest.raises(AttributeError):
        projector(NamedView)(object())


def test_without_a_schema_data_goes_out_as_it_is() -> None:
    at = datetime(2030, 1, 2, tzinfo=UTC)
    assert encode({"at": at, "id": UUID(int=7)}, None) == (
        b'{"at":"2030-01-02T00:00:00Z","id":"00000000-0000-0000-0000-000000000007"}'
    )
