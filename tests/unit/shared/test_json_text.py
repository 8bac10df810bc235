"""JSON about anything: an error or a log line never fails on the value that it shows."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson
import pytest

from shared.json_text import dump_anything


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ({"a": "\ud800b"}, {"a": "?b"}),
        ({"\udfff": 1}, {"?": 1}),
        ({("a", 1): 1, "b": 2}, {"b": 2}),
        ({1: "a"}, {"1": "a"}),
        ({"a": 2**64}, {"a": 2.0**64}),
        ({"a": {1}}, {"a": "{1}"}),
        ({"a": b"x"}, {"a": "b'x'"}),
        ({"a": ValueError("no")}, {"a": "no"}),
        ({"a": UUID(int=7)}, {"a": "00000000-0000-0000-0000-000000000007"}),
        ({"a": datetime(2030, 1, 2, tzinfo=UTC)}, {"a": "2030-01-02T00:00:00Z"}),
    ],
)
def test_it_is_json_whatever_is_in_it(value: Any, shown: Any) -> None:
    assert orjson.loads(dump_anything(value)) == shown
