"""The generated document: valid OpenAPI 3.1 that says what the Endpoint does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest
from aiohttp import web
from marshmallow import Schema, fields, validate

from shared.endpoints import Endpoint, Given
from shared.errors import Conflict, PreconditionFailed
from shared.fields import FlagParameter, Text, Timestamp, Uuid, Whole, WholeParameter
from shared.identity import Permission
from shared.openapi import document
from shared.schemas import HeaderSchema, JsonArray, StrictSchema, View

# What OpenAPI 3.1 means by a Schema Object.
DIALECT = "https://json-schema.org/draft/2020-12/schema"


class ThingRef(Schema):
    thing_id = Uuid(required=True)


class Filters(StrictSchema):
    page = WholeParameter(minimum=1, maximum=100, load_default=1)
    completed = FlagParameter()


class Conditional(HeaderSchema):
    if_match = fields.String(data_key="If-Match")


class NewThing(StrictSchema):
    title = Text(minimum=1, maximum=200, required=True)
    weight = Whole(minimum=1, maximum=5, load_default=1)
    due_date = Timestamp(load_default=None, allow_none=True)
    labels = fields.List(Text(minimum=1, maximum=50), validate=validate.Length(max=20))


class OwnerView(View):
    id = Uuid()


class ThingView(View):
    id = Uuid()
    title = fields.String()
    due_date = Timestamp(allow_none=True)
    owner = fields.Nested(OwnerView)


async def create_thing(_request: web.Request, _given: Given) -> web.StreamResponse:
    return web.Response()


async def get_thing(_request: web.Request, _given: Given) -> web.StreamResponse:
    return web.Response()


async def import_things(_request: web.Request, _given: Given) -> web.StreamResponse:
    return web.Response()


async def bulk_things(_request: web.Request, _given: Given) -> web.StreamResponse:
    return web.Response()


EXAMPLE = {"title": "Write", "weight": 5, "due_date": "2030-01-31T09:00:00+01:00"}

ENDPOINTS = (
    Endpoint(
        method="POST",
        path="/v2/things",
        handler=create_thing,
        summary="Make a thing",
        description="All of it.",
        tags=("things",),
        permission=Permission.TASKS_WRITE,
        body=NewThing,
        body_example=EXAMPLE,
        returns=ThingView,
        status=201,
        answer_headers={"Location": "Where it is."},
        errors=(Conflict,),
    ),
    Endpoint(
        method="GET",
        path="/v2/things/{thing_id}",
        handler=get_thing,
        summary="One thing",
        permission=None,
        path_params=ThingRef,
        query=Filters,
        headers=Conditional,
        returns=ThingView,
        other_statuses={304: "Not changed."},
        errors=(PreconditionFailed,),
    ),
    Endpoint(
        method="POST",
        path="/v2/things/import",
        handler=import_things,
        summary="Many things",
        permission=Permission.TASKS_WRITE,
        streams_body=True,
        body_media=("application/x-ndjson",),
        body_example='{"title":"a"}\n',
        returns=ThingView,
    ),
    Endpoint(
        method="POST",
        path="/v2/things/bulk",
        handler=bulk_things,
        summary="Some things",
        permission=Permission.TASKS_WRITE,
        body=JsonArray(maximum=50, about="A thing."),
        returns=ThingView,
    ),
    Endpoint(
        method="GET",
        path="/v1/things/{thing_id}",
        handler=get_thing,
        summary="One thing, as it was",
        permission=None,
        path_params=ThingRef,
        returns=ThingView,
    ),
)


@pytest.fixture(scope="module")
def page() -> dict[str, Any]:
    return document("Sample", "v2", ENDPOINTS)


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for key, below in node.items():
            if key == "$ref":
                yield below
            else:
                yield from references(below)
    elif isinstance(node, list):
        for below in node:
            yield from references(below)


def schemas_in(node: Any) -> Iterator[Any]:
    """Every Schema Object of a document, those of the components too."""
    if isinstance(node, dict):
        for key, below in node.items():
            if key == "schema":
                yield below
            elif key == "schemas":
                yield from below.values()
            else:
                yield from schemas_in(below)
    elif isinstance(node, list):
        for below in node:
            yield from schemas_in(below)


def test_two_schemas_of_one_name_are_refused() -> None:
    def other() -> type[Schema]:
        class NewThing(StrictSchema):
            name = fields.String()

        return NewThing

    clash = Endpoint(
        method="PUT",
        path="/v2/others",
        handler=create_thing,
        summary="Another",
        permission=None,
        body=other(),
    )
    with pytest.raises(TypeError, match="share the name"):
        document("Sample", "v2", (*ENDPOINTS, clash))


def test_only_operations_of_the_version_are_in_it(page: dict[str, Any]) -> None:
    assert page["openapi"] == "3.1.0"
    assert set(page["paths"]) == {
        "/v2/things",
        "/v2/things/{thing_id}",
        "/v2/things/import",
        "/v2/things/bulk",
    }


def test_every_schema_is_a_json_schema_and_every_reference_leads_somewhere(
    page: dict[str, Any],
) -> None:
    found = list(schemas_in(page))
    assert len(found) > 10
    for schema in found:
        jsonschema_rs.meta.validate({**schema, "$schema": DIALECT})
    for reference in references(page):
        node: Any = page
        for step in reference.removeprefix("#/").split("/"):
            node = node[step]


def test_every_path_variable_is_a_required_parameter(page: dict[str, Any]) -> None:
    shown = page["paths"]["/v2/things/{thing_id}"]["get"]["parameters"]
    by_place = {(one["in"], one["name"]): one for one in shown}
    assert set(by_place) == {
        ("path", "thing_id"),
        ("query", "page"),
        ("query", "completed"),
        ("header", "If-Match"),
    }
    assert by_place["path", "thing_id"]["required"]
    assert by_place["path", "thing_id"]["schema"]["format"] == "uuid"
    assert by_place["query", "page"]["schema"] == {
        "type": "integer",
        "minimum": 1,
        "maximum": 100,
        "default": 1,
    }
    assert not by_place["query", "completed"]["required"]


def test_every_rule_of_the_input_is_in_its_schema(page: dict[str, Any]) -> None:
    schema = page["components"]["schemas"]["NewThing"]
    assert schema["required"] == ["title"]
    assert schema["additionalProperties"] is False
    title = schema["properties"]["title"]
    assert (title["minLength"], title["maxLength"]) == (1, 200)
    assert title["pattern"] == "^[^\\u0000]*$"
    weight = schema["properties"]["weight"]
    assert (weight["minimum"], weight["maximum"]) == (1, 5)
    due_date = schema["properties"]["due_date"]
    assert due_date["format"] == "date-time"
    assert set(due_date["type"]) == {"string", "null"}
    assert schema["properties"]["labels"]["maxItems"] == 20


@pytest.mark.parametrize(
    ("body", "good"),
    [
        (EXAMPLE, True),
        ({"title": "a", "due_date": None}, True),
        ({}, False),
        ({"title": ""}, False),
        ({"title": "a\x00"}, False),
        ({"title": "a", "weight": 9}, False),
        ({"title": "a", "colour": 1}, False),
        ({"title": "a", "labels": ["x"] * 21}, False),
    ],
)
def test_the_schema_judges_as_the_endpoint_does(
    page: dict[str, Any], body: Any, good: bool
) -> None:
    reference = {"$ref": "#/components/schemas/NewThing", "components": page["components"]}
    assert jsonschema_rs.Draft202012Validator(reference).is_valid(body) is good
    assert (not NewThing().validate(body)) is good


def test_a_view_counts_on_all_its_fields(page: dict[str, Any]) -> None:
    shown = page["components"]["schemas"]
    assert shown["ThingView"]["required"] == ["due_date", "id", "owner", "title"]
    assert shown["ErrorView"]["required"] == ["error"]
    assert set(shown["ErrorBody"]["required"]) == {"code", "message", "details", "request_id"}


def test_permission_is_security(page: dict[str, Any]) -> None:
    made = page["paths"]["/v2/things"]["post"]
    assert made["security"] == [{"bearerAuth": []}]
    assert made["x-credentials"] == ["bearerAuth", "apiKeyAuth", "sessionCookie"]
    assert page["paths"]["/v2/things/{thing_id}"]["get"]["security"] == []


def test_bodies(page: dict[str, Any]) -> None:
    made = page["paths"]["/v2/things"]["post"]["requestBody"]
    assert made["required"]
    assert made["content"]["application/json"]["example"] == EXAMPLE
    streamed = page["paths"]["/v2/things/import"]["post"]["requestBody"]["content"]
    assert streamed == {"application/x-ndjson": {"schema": {}, "example": '{"title":"a"}\n'}}
    bulk = page["paths"]["/v2/things/bulk"]["post"]["requestBody"]["content"]
    assert bulk["application/json"]["schema"]["maxItems"] == 50


def test_every_status_that_may_occur_is_declared_in_both_shapes(page: dict[str, Any]) -> None:
    made = page["paths"]["/v2/things"]["post"]["responses"]
    expected = {"201", "400", "401", "403", "406", "409", "413", "415", "422", "500", "503"}
    assert set(made) == expected
    assert set(made["409"]["content"]) == {"application/json", "application/problem+json"}
    assert "CONFLICT" in made["409"]["description"]
    assert {"X-Request-ID", "Location"} == set(made["201"]["headers"])
    assert all("X-Request-ID" in answer["headers"] for answer in made.values())
    read = page["paths"]["/v2/things/{thing_id}"]["get"]["responses"]
    assert {"200", "304", "412"} <= set(read)
    assert "content" not in read["304"]
    assert not {"403", "413", "415"} & set(read)


def test_operation_ids_are_one_of_a_kind(page: dict[str, Any]) -> None:
    ids = [one["operationId"] for path in page["paths"].values() for one in path.values()]
    assert sorted(ids) == ["bulk_things", "create_thing", "get_thing", "import_things"]
