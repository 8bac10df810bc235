"""Parameters as they are read: remembered query strings, headers that are not there."""

from __future__ import annotations

from aiohttp.test_utils import make_mocked_request
from marshmallow import fields
from multidict import CIMultiDict

from shared.fields import Uuid, WholeParameter
from shared.parameters import (
    NoParameters,
    QueryReader,
    header_parameters,
    path_parameters,
)
from shared.schemas import HeaderSchema, StrictSchema


class Query(StrictSchema):
    page = WholeParameter(minimum=1, maximum=9, load_default=1)
    tags = fields.List(fields.String())


class Ref(StrictSchema):
    thing_id = Uuid(required=True)


class Optional(HeaderSchema):
    if_none_match = fields.String(data_key="If-None-Match")


class Required(HeaderSchema):
    key = fields.String(data_key="X-Key", required=True)


# Its parts are mocks, which take a hundred times longer to make than to clone.
ANY_REQUEST = make_mocked_request("GET", "/x")


def read(reader: QueryReader, query: str) -> tuple[object, dict[str, list[str]]]:
    problems: dict[str, list[str]] = {}
    return reader.read(ANY_REQUEST.clone(rel_url=f"/x{query}"), problems), problems


def test_a_remembered_query_is_read_as_the_first_time_and_belongs_to_nobody() -> None:
    reader = QueryReader(Query)
    first, problems = read(reader, "?page=2&tags=a&tags=b")
    assert (first, problems) == ({"page": 2, "tags": ["a", "b"]}, {})
    assert isinstance(first, dict)
    first["page"] = 7
    assert read(reader, "?page=2&tags=a&tags=b") == ({"page": 2, "tags": ["a", "b"]}, {})
    assert read(reader, "?page=3") == ({"page": 3}, {})
    assert read(reader, "") == ({"page": 1}, {})


def test_a_bad_query_is_bad_every_time() -> None:
    reader = QueryReader(Query)
    for _ in range(3):
        assert read(reader, "?page=0")[1] == {"page": ["Must be between 1 and 9."]}
        assert read(reader, "?page=1&page=2")[1] == {"page": ["Must be given once."]}
        assert read(reader, "?x=1")[1] == {"x": ["Unknown field."]}
        assert read(QueryReader(NoParameters), "?x=1")[1] == {"x": ["Unknown field."]}


def test_what_is_remembered_is_bounded() -> None:
    reader = QueryReader(Query)
    for number in range(2_000):
        read(reader, f"?tags={number}")
    read(reader, f"?tags={'x' * 5_000}")
    assert len(reader._known) == 500


def test_headers_that_are_not_there() -> None:
    problems: dict[str, list[str]] = {}
    request = make_mocked_request("GET", "/x")
    assert header_parameters(Optional, request, problems) == {}
    assert problems == {}
    header_parameters(Required, request, problems)
    assert problems == {"X-Key": ["Missing data for required field."]}


def test_lines_of_one_header_are_one_list() -> None:
    headers = CIMultiDict([("If-None-Match", '"a"'), ("if-none-match", '"b"')])
    request = make_mocked_request("GET", "/x", headers=headers)
    assert header_parameters(Optional, request, {}) == {"if_none_match": '"a", "b"'}


def test_a_bad_path_parameter_is_named() -> None:
    problems: dict[str, list[str]] = {}
    assert path_parameters(Ref, {"thing_id": "7"}, problems) == {}
    assert problems == {"thing_id": ["Not a valid UUID."]}
