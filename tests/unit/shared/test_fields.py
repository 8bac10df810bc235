"""Strict fields: near misses first."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from marshmallow import Schema, ValidationError

from shared.fields import Flag, FlagParameter, Text, Timestamp, Uuid, Whole, WholeParameter


class Sample(Schema):
    text = Text(minimum=1, maximum=5)
    whole = Whole(minimum=1, maximum=5)
    page = WholeParameter(minimum=1, maximum=100)
    flag = Flag()
    asked = FlagParameter()
    at = Timestamp()
    id = Uuid()


def refusal(field: str, value: Any) -> list[str]:
    with pytest.raises(ValidationError) as caught:
        Sample().load({field: value})
    messages: dict[str, list[str]] = caught.value.messages_dict
    assert list(messages) == [field]
    return messages[field]


LENGTH = "Length must be between 1 and 5."
BETWEEN = "Must be between 1 and 5."
INTEGER = "Not a valid integer."
BOOLEAN = "Not a valid boolean."
TIME = "Not a valid RFC 3339 time."
OFFSET = "The time needs an offset, such as Z or +02:00."
RANGE = "The time is out of range."
UUID_ = "Not a valid UUID."
NOT_TEXT = "Not a valid string."


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("text", "", LENGTH),
        ("text", "abcdef", LENGTH),
        ("text", "😀" * 6, LENGTH),
        ("text", "a\x00", "Must not contain the character U+0000."),
        ("text", "\ud800", "Not valid Unicode text."),
        ("text", "a\udfff", "Not valid Unicode text."),
        ("text", 5, NOT_TEXT),
        ("text", True, NOT_TEXT),
        ("text", ["a"], NOT_TEXT),
        ("text", {"a": 1}, NOT_TEXT),
        ("text", None, "Field may not be null."),
        ("whole", 0, BETWEEN),
        ("whole", 6, BETWEEN),
        ("whole", -(2**63), BETWEEN),
        ("whole", 1e300, BETWEEN),
        ("whole", 1.5, INTEGER),
        ("whole", float("nan"), INTEGER),
        ("whole", float("inf"), INTEGER),
        ("whole", "3", INTEGER),
        ("whole", True, INTEGER),
        ("whole", False, INTEGER),
        ("whole", [3], INTEGER),
        ("whole", {}, INTEGER),
        ("whole", None, "Field may not be null."),
        ("page", "0", "Must be between 1 and 100."),
        ("page", "-1", "Must be between 1 and 100."),
        ("page", "101", "Must be between 1 and 100."),
        ("page", "9" * 19, INTEGER),
        ("page", "9" * 5000, INTEGER),
        ("page", "", INTEGER),
        ("page", " 1", INTEGER),
        ("page", "1 ", INTEGER),
        ("page", "+1", INTEGER),
        ("page", "01", INTEGER),
        ("page", "1.0", INTEGER),
        ("page", "1_0", INTEGER),
        ("page", "1e1", INTEGER),
        ("page", "٣", INTEGER),
        ("page", "1\n", INTEGER),
        ("page", "\x00", INTEGER),
        ("page", 1, INTEGER),
        ("flag", 1, BOOLEAN),
        ("flag", 0, BOOLEAN),
        ("flag", "true", BOOLEAN),
        ("flag", [], BOOLEAN),
        ("flag", None, "Field may not be null."),
        ("asked", "True", BOOLEAN),
        ("asked", "1", BOOLEAN),
        ("asked", "yes", BOOLEAN),
        ("asked", "", BOOLEAN),
        ("asked", True, BOOLEAN),
        ("at", "2030-01-02T03:04:05", OFFSET),
        ("at", "2030-01-02T03:04:05.123", OFFSET),
        ("at", "2030-01-02", TIME),
        ("at", "2030-01-02 03:04:05Z", TIME),
        ("at", "2030-01-02T03:04Z", TIME),
        ("at", "2030-01-02T03:04:05+0200", TIME),
        ("at", "2030-01-02T03:04:05+02", TIME),
        ("at", "2030-01-02T03:04:05Z\n", TIME),
        ("at", "2030-13-02T03:04:05Z", TIME),
        ("at", "2030-02-30T03:04:05Z", TIME),
        ("at", "2030-01-02T24:00:00Z", TIME),
        ("at", "2030-01-02T25:00:00Z", TIME),
        ("at", "2030-01-02T03:60:05Z", TIME),
        ("at", "2030-01-02T03:04:60Z", TIME),
        ("at", "2030-01-02T03:04:05+24:00", TIME),
        ("at", "2030-01-02T03:04:05+99:99", TIME),
        ("at", "2030-01-02T03:04:05+05:75", TIME),
        ("at", "2030-01-02T03:04:05.1234567890Z", TIME),
        ("at", "2030-W01-1T03:04:05Z", TIME),
        ("at", "0000-01-01T00:00:00Z", TIME),
        ("at", "٢٠٣٠-01-02T03:04:05Z", TIME),
        ("at", "0001-01-01T00:00:00+01:00", RANGE),
        ("at", "9999-12-31T23:59:59-01:00", RANGE),
        ("at", "x" * 1_000_000, TIME),
        ("at", "", TIME),
        ("at", 1893553445, TIME),
        ("at", True, TIME),
        ("at", ["2030-01-02T03:04:05Z"], TIME),
        ("at", None, "Field may not be null."),
        ("id", "7", UUID_),
        ("id", "", UUID_),
        ("id", 7, UUID_),
        ("id", None, "Field may not be null."),
        ("id", "0199a6f0c0de70008000000000000001", UUID_),
        ("id", "{0199a6f0-c0de-7000-8000-000000000001}", UUID_),
        ("id", "urn:uuid:0199a6f0-c0de-7000-8000-000000000001", UUID_),
        ("id", "0199a6f0-c0de-7000-8000-000000000001\n", UUID_),
        ("id", "g199a6f0-c0de-7000-8000-000000000001", UUID_),
        ("id", "0199a6f0-c0de-7000-8000-00000000000x", UUID_),
        ("id", "٠199a6f0-c0de-7000-8000-000000000001", UUID_),
    ],
)
def test_near_misses(field: str, value: Any, reason: str) -> None:
    assert refusal(field, value) == [reason]


@pytest.mark.parametrize(
    ("field", "given", "read"),
    [
        ("text", "a", "a"),
        ("text", "😀" * 5, "😀" * 5),
        ("text", " \n\t", " \n\t"),
        ("whole", 1, 1),
        ("whole", 5.0, 5),
        ("page", "100", 100),
        ("flag", False, False),
        ("asked", "true", True),
        ("asked", "false", False),
        ("at", "2030-01-02T03:04:05Z", datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("at", "2030-01-02t03:04:05z", datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("at", "2030-01-02T03:04:05.5+02:00", datetime(2030, 1, 2, 1, 4, 5, 500_000, tzinfo=UTC)),
        (
            "at",
            "2030-01-02T03:04:05.123456789-00:00",
            datetime(2030, 1, 2, 3, 4, 5, 123_456, tzinfo=UTC),
        ),
        ("at", "2028-02-29T23:59:59+23:59", datetime(2028, 2, 29, 0, 0, 59, tzinfo=UTC)),
        ("at", "0001-01-01T00:00:00Z", datetime(1, 1, 1, tzinfo=UTC)),
        ("id", "0199A6F0-C0DE-7000-8000-000000000001", UUID(int=0x199A6F0C0DE70008000000000000001)),
        ("id", "00000000-0000-0000-0000-000000000000", UUID(int=0)),
    ],
)
def test_what_is_read(field: str, given: Any, read: Any) -> None:
    loaded = Sample().load({field: given})
    assert loaded == {field: read}
    assert type(loaded[field]) is type(read)


@given(
    st.datetimes(min_value=datetime(1, 1, 3), max_value=datetime(9999, 12, 29)),  # noqa: DTZ001
    st.integers(-23 * 60 - 59, 23 * 60 + 59),
)
def test_any_time_comes_back_as_the_same_moment_in_utc(moment: datetime, minutes: int) -> None:
    aware = moment.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    read = Sample().load({"at": aware.isoformat()})["at"]
    assert read == aware
    assert read.tzinfo is UTC
    shown = Sample().dump({"at": read})["at"]
    assert shown.endswith("Z")
    assert Sample().load({"at": shown})["at"] == aware


@given(st.text(max_size=60), st.sampled_from(["page", "asked", "at", "id"]))
def test_no_text_breaks_a_parameter(text: str, field: str) -> None:
    assert set(Sample().validate({field: text})) <= {field}


def test_a_text_keeps_the_checks_and_the_metadata_that_it_is_given() -> None:
    def shout(value: str) -> None:
        if not value.isupper():
            raise ValidationError("Shout.")

    field = Text(maximum=5, validate=shout, metadata={"description": "Loud."})
    assert field.metadata == {"pattern": "^[^\\u0000]*$", "description": "Loud."}
    assert field.deserialize("ABC") == "ABC"
    with pytest.raises(ValidationError, match="Shout"):
        field.deserialize("abc")
