"""Strict JSON: the hostile table first."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import json_body
from shared.errors import BadRequest, ValidationFailed
from shared.json_body import MAX_DEPTH, parse_json


def nested(levels: int, leaf: str = "1") -> bytes:
    return ('{"a":' * levels + leaf + "}" * levels).encode()


NOT_JSON = {
    "empty": b"",
    "blank": b" \n",
    "word": b"hello",
    "half": b'{"title": "x"',
    "trailing comma": b'{"title": "x",}',
    "two values": b"{} {}",
    "single quotes": b"{'title': 'x'}",
    "comment": b'{"title": "x"} // no',
    "NaN": b'{"priority": NaN}',
    "Infinity": b'{"priority": -Infinity}',
    "leading zero": b'{"priority": 01}',
    "plus sign": b'{"priority": +1}',
    "hexadecimal": b'{"priority": 0x10}',
    "bare fraction": b'{"priority": .5}',
    "raw NUL": b'{"title": "a\x00b"}',
    "raw newline": b'{"title": "a\nb"}',
    "bad escape": b'{"title": "\\x41"}',
    "Latin-1": '{"title": "caf\xe9"}'.encode("latin-1"),
    "overlong UTF-8": b'{"title": "\xc0\xaf"}',
    "byte order mark": b'\xef\xbb\xbf{"title": "x"}',
    "UTF-16": '{"title": "x"}'.encode("utf-16"),
    "UTF-32": '{"title": "x"}'.encode("utf-32-be"),
    "a hundred thousand brackets": b"[" * 100_000,
    "a hundred thousand levels": b"[" * 100_000 + b"]" * 100_000,
    "control bytes": bytes(range(32)),
}


@pytest.mark.parametrize("body", NOT_JSON.values(), ids=NOT_JSON.keys())
def test_what_is_not_json_is_a_bad_request_about_the_body(body: bytes) -> None:
    with pytest.raises(BadRequest) as caught:
        parse_json(body)
    assert list(caught.value.details) == ["body"]
    assert len(str(caught.value.details)) < 300
    orjson.dumps(caught.value.details)


NAMED: dict[str, tuple[bytes, str, str]] = {
    "escaped lone surrogate": (rb'{"title": "a\ud800"}', "title", "Not valid Unicode text."),
    "escaped low surrogate": (rb'{"title": "\udfffb"}', "title", "Not valid Unicode text."),
    "surrogates the wrong way round": (
        rb'{"title": "\udc00\ud800"}',
        "title",
        "Not valid Unicode text.",
    ),
    "surrogate in UTF-8": (b'{"title": "\xed\xa0\x80"}', "title", "Not valid Unicode text."),
    "surrogate below a list": (
        rb'{"labels": ["ok", "\ud800"]}',
        "labels.1",
        "Not valid Unicode text.",
    ),
    "surrogate as the whole body": (rb'"\ud800"', "body", "Not valid Unicode text."),
    "surrogate in a name": (rb'{"\ud800": 1}', "?", "Not valid Unicode text."),
    "number beyond a double": (b'{"priority": 1e999}', "priority", "Number out of range."),
    "negative beyond a double": (b'{"a": [{"b": -1e400}]}', "a.0.b", "Number out of range."),
    "integer of a thousand digits": (
        b'{"priority": ' + b"9" * 1000 + b"}",
        "priority",
        "Number out of range.",
    ),
    "duplicate key": (b'{"title": "a", "title": "b"}', "title", "Duplicate key."),
    "duplicate key by escape": (rb'{"title": "a", "\u0074itle": "b"}', "title", "Duplicate key."),
    "duplicate key below": (b'{"a": [{"b": 1, "b": 1}]}', "b", "Duplicate key."),
    "empty duplicate key": (b'{"": 1, "": 1}', "", "Duplicate key."),
    "one level too deep": (nested(MAX_DEPTH + 1), "a", "Nested deeper than 32 levels."),
    "a thousand levels": (nested(1000), "a", "Nested deeper than 32 levels."),
    "a deep field of one item": (
        b'{"tasks": [{"title": "ok"}, {"title": ' + b"[" * 99 + b"]" * 99 + b"}]}",
        "tasks.1.title",
        "Nested deeper than 32 levels.",
    ),
    "a deep field of one item of a list": (
        b'[{"title": "ok"}, {"title": ' + nested(99) + b"}]",
        "1.title",
        "Nested deeper than 32 levels.",
    ),
    "a field of deep lists": (
        b'{"labels": ' + b"[" * 99 + b"]" * 99 + b"}",
        "labels",
        "Nested deeper than 32 levels.",
    ),
    "a deep list": (b"[" * 500 + b"]" * 500, "0", "Nested deeper than 32 levels."),
}


@pytest.mark.parametrize(("body", "field", "reason"), NAMED.values(), ids=NAMED.keys())
def test_a_value_nobody_can_read_alike_is_named(body: bytes, field: str, reason: str) -> None:
    with pytest.raises(ValidationFailed) as caught:
        parse_json(body)
    assert caught.value.details == {field: [reason]}
    orjson.dumps(caught.value.details)


def test_the_number_of_duplicate_keys_shown_is_bounded() -> None:
    body = "{" + ",".join(f'"k{at}": 1, "k{at}": 2' for at in range(50)) + "}"
    with pytest.raises(ValidationFailed) as caught:
        parse_json(body.encode())
    assert len(caught.value.details) == 10


def test_a_long_name_is_shown_short() -> None:
    name = "é" * 5000
    with pytest.raises(ValidationFailed) as caught:
        parse_json(f'{{"{name}": 1, "{name}": 2}}'.encode())
    assert list(caught.value.details) == ["é" * 100]


class CountingName(str):
    """A name that counts how often it is compared."""

    __slots__ = ()
    compared = 0

    def __eq__(self, other: object) -> bool:
        CountingName.compared += 1
        return super().__eq__(other)

    __hash__ = str.__hash__


def test_finding_duplicate_keys_costs_no_square_of_their_number() -> None:
    CountingName.compared = 0
    with pytest.raises(ValueError, match="duplicate"):
        json_body._refuse_duplicates([(CountingName("a"), 1) for _ in range(2000)])
    assert CountingName.compared < 10_000


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b"null", None),
        (b" [1, 2.0, -0.0, true] ", [1, 2.0, -0.0, True]),
        ('{"title": "Müll 🗑"}'.encode(), {"title": "Müll 🗑"}),
        (rb'{"title": "\ud83d\ude00"}', {"title": "😀"}),
        (rb'{"title": "\u0000"}', {"title": "\x00"}),
        (b'{"a": {"b": 1}, "b": 1}', {"a": {"b": 1}, "b": 1}),
        (b'[{"a": 1}, {"a": 2}]', [{"a": 1}, {"a": 2}]),
        (b'{"n": 9223372036854775807}', {"n": 2**63 - 1}),
        (b'{"n": 1e308}', {"n": 1e308}),
    ],
)
def test_values_that_are_fine(body: bytes, value: Any) -> None:
    assert parse_json(body) == value


def test_the_deepest_value_that_is_fine() -> None:
    assert parse_json(nested(MAX_DEPTH)) == orjson.loads(nested(MAX_DEPTH))


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda below: (
        st.lists(below, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), below, max_size=4)
    ),
    max_leaves=20,
)


@given(JSON_VALUES)
def test_whatever_is_json_comes_back_as_it_was(value: Any) -> None:
    assert parse_json(orjson.dumps(value)) == value


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_but_a_refusal(body: bytes) -> None:
    try:
        parse_json(body)
    except (BadRequest, ValidationFailed) as error:
        orjson.dumps(error.details)
