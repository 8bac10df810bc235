"""Input is loaded as marshmallow loads it, by every strict schema of every service."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from marshmallow import Schema, ValidationError, fields, post_load

import services
from shared.fields import Whole
from shared.schemas import StrictSchema


def load_all(package: ModuleType) -> None:
    for found in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
        if found.name.rpartition(".")[2] in {"schemas", "administration_schemas"}:
            module = importlib.import_module(found.name)
            if found.ispkg:
                for below in pkgutil.iter_modules(module.__path__, module.__name__ + "."):
                    importlib.import_module(below.name)
        elif found.ispkg and found.name.count(".") == 1:
            load_all(importlib.import_module(found.name))


def descendants(cls: type[StrictSchema] = StrictSchema) -> Iterator[type[StrictSchema]]:
    for child in cls.__subclasses__():
        if child.__module__.startswith("services."):
            yield child
        yield from descendants(child)


load_all(services)
SCHEMAS = sorted(set(descendants()), key=lambda one: f"{one.__module__}.{one.__qualname__}")
VALUES = st.sampled_from(
    [
        None, True, False, 0, 1, 3, 9, 2.0, 2.5, "", "a", "x" * 300, "\0", "\ud800", [], ["a"],
        ["a", "a"], [1], {}, {"a": 1}, "2026-01-05T00:00:00Z", "2026-01-05", "-priority", "true",
        "a@example.com", "correct horse battery", "01890a5d-ac96-774b-bcce-b302099a8057",
    ]
)  # fmt: skip


def outcome(load: Any, schema: StrictSchema, data: Any) -> Any:
    try:
        return load(schema, data)
    except ValidationError as error:
        return error.messages


def test_there_are_schemas_of_all_services() -> None:
    assert {one.__module__.split(".")[1] for one in SCHEMAS} == {"auth", "tasks"}


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_all_input_is_loaded_as_marshmallow_does(data: st.DataObject) -> None:
    schema = data.draw(st.sampled_from(SCHEMAS))()
    names = [field.data_key or name for name, field in schema.load_fields.items()]
    given_ = data.draw(st.dictionaries(st.sampled_from([*names, "unknown"]), VALUES))
    assert outcome(StrictSchema.load, schema, given_) == outcome(Schema.load, schema, given_)


class Plain(StrictSchema):
    size = Whole(minimum=1, maximum=5, required=True)
    other = fields.String(data_key="Other", attribute="another", load_default=None)
    many = fields.List(fields.String(), load_default=list)
    absent = fields.String()

    @post_load
    def doubled(self, given: dict[str, Any], **_: Any) -> dict[str, Any]:
        return {**given, "size": given["size"] * 2}


@pytest.mark.parametrize(
    "given_",
    [{"size": 2}, {"size": 2.0, "Other": "a", "absent": "b"}, {"size": 2, "many": ["x"]}],
)
def test_good_input_has_its_names_defaults_and_hooks(given_: dict[str, Any]) -> None:
    loaded = Plain().load(given_)
    assert loaded == Schema.load(Plain(), given_)
    assert loaded["size"] == 4


def test_no_two_loads_share_a_default() -> None:
    schema = Plain()
    schema.load({"size": 1})["many"].append("x")
    assert schema.load({"size": 1})["many"] == []


@pytest.mark.parametrize(
    "given_", [{}, {"size": 9}, {"size": 1, "another": "a"}, {"size": 1, 5: 6}, None, [], "text"]
)
def test_bad_input_is_named_as_marshmallow_names_it(given_: Any) -> None:
    assert outcome(StrictSchema.load, Plain(), given_) == outcome(Schema.load, Plain(), given_)


def test_options_are_marshmallows() -> None:
    assert StrictSchema.from_dict({"a": fields.String()})().load([{"a": "b"}], many=True) == [
        {"a": "b"}
    ]
