"""Schemas of the house: strictness, and how messages are filed."""

from __future__ import annotations

from typing import Any

import pytest
from marshmallow import ValidationError, fields

from shared.schemas import HeaderSchema, StrictSchema, flatten_messages


class Item(StrictSchema):
    name = fields.String(required=True)


class Order(StrictSchema):
    items = fields.List(fields.Nested(Item))


class Conditional(HeaderSchema):
    if_match = fields.String(data_key="If-Match")


@pytest.mark.parametrize(
    ("given", "details"),
    [
        ({"colour": 1}, {"colour": ["Unknown field."]}),
        ({"items": [{"name": "a"}, {}]}, {"items.1.name": ["Missing data for required field."]}),
        (
            {"items": [{"name": "a", "size": 1}, 5]},
            {"items.0.size": ["Unknown field."], "items.1": ["Invalid input type."]},
        ),
        ({"items": {}}, {"items": ["Not a valid list."]}),
        ([], {"body": ["Invalid input type."]}),
        (None, {"body": ["Invalid input type."]}),
        ("text", {"body": ["Invalid input type."]}),
        (5, {"body": ["Invalid input type."]}),
    ],
)
def test_every_message_is_filed_under_its_field(given: Any, details: dict[str, list[str]]) -> None:
    with pytest.raises(ValidationError) as caught:
        Order().load(given)
    assert flatten_messages(caught.value.messages) == details


def test_at_most_twenty_fields_are_shown() -> None:
    with pytest.raises(ValidationError) as caught:
        Order().load({f"x{at}": at for at in range(500)})
    assert len(flatten_messages(caught.value.messages)) == 20


def test_names_are_shown_short_and_encodable() -> None:
    shown = flatten_messages({"\ud800" + "n" * 5000: ["Unknown field."]})
    assert shown == {"?" + "n" * 99: ["Unknown field."]}


@pytest.mark.parametrize(
    ("messages", "prefix", "flat"),
    [
        (["Bad."], "file", {"file": ["Bad."]}),
        ("Bad.", "file", {"file": ["Bad."]}),
        ({"a": ["Bad."]}, "tasks.0", {"tasks.0.a": ["Bad."]}),
        ({"_schema": ["Bad."]}, "", {"body": ["Bad."]}),
        ({"_schema": ["Bad."]}, "tasks.0", {"tasks.0": ["Bad."]}),
        ({"": ["Unknown field."]}, "", {"": ["Unknown field."]}),
        (["Bad."], "", {"body": ["Bad."]}),
        ({}, "", {}),
    ],
)
def test_prefix(messages: Any, prefix: str, flat: dict[str, list[str]]) -> None:
    assert flatten_messages(messages, prefix=prefix) == flat


def test_other_headers_are_none_of_its_business() -> None:
    given = {"If-Match": '"a"', "Cookie": "x"}
    assert Conditional().load(given) == {"if_match": '"a"'}
