"""What a request says beside its body, read through marshmallow but seldom by it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from functools import cache
from typing import Any
from urllib.parse import unquote, unquote_to_bytes

from aiohttp import web
from marshmallow import Schema, ValidationError, fields

from shared.schemas import JsonArray, flatten_messages

Problems = dict[str, list[str]]

# Query strings whose meaning is remembered: few that clients send are longer, or of more kinds.
_REMEMBERED = 500
_LONGEST = 300


class NoParameters(Schema):
    """The query of an operation that takes none: anything given is refused."""


@cache
def loader(schema: type[Schema] | JsonArray) -> Any:
    """The one instance of `schema` that loads for all requests: making one copies every field."""
    return schema if isinstance(schema, JsonArray) else schema()


def load(schema: type[Schema] | JsonArray, data: Any, problems: Problems) -> Any:
    """`data` as `schema` reads it, or nothing and what is wrong with it in `problems`."""
    try:
        return loader(schema).load(data)
    except ValidationError as error:
        problems.update(flatten_messages(error.messages))
        return {}


def path_parameters(
    schema: type[Schema] | None, given: Mapping[str, str], problems: Problems
) -> dict[str, Any]:
    """The parameters of a path, each read by its field: the router has seen that all are there."""
    values: dict[str, Any] = {}
    if schema is None:
        return values
    declared = loader(schema).load_fields
    for name, text in given.items():
        try:
            values[name] = declared[name].deserialize(text, name, given)
        except ValidationError as error:
            problems.update(flatten_messages({name: error.messages}))
    return values


class QueryReader:
    """Reads the query strings of one endpoint.

    What a query string means depends on nothing else, so that of a good one is remembered.
    """

    def __init__(self, schema: type[Schema]) -> None:
        self._schema = schema
        self._known: OrderedDict[str, dict[str, Any]] = OrderedDict()

    def read(self, request: web.Request, problems: Problems) -> dict[str, Any]:
        """The values by name; a scalar that is given twice is a problem."""
        text = request.rel_url.raw_query_string
        known = self._known.get(text)
        if known is not None:
            return known.copy()
        found: Problems = _not_text(text) if "%" in text else {}
        values: dict[str, Any] = load(self._schema, self._given(request, found), found)
        if found:
            problems.update(found)
        elif len(text) <= _LONGEST:
            self._known[text] = values.copy()
            if len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return values

    def _given(self, request: web.Request, problems: Problems) -> dict[str, Any]:
        values: dict[str, Any] = {}
        declared = loader(self._schema).load_fields
        for name in request.query:
            if name in values:
                continue
            given = request.query.getall(name)
            if isinstance(declared.get(name), fields.List):
                values[name] = given
            else:
                values[name] = given[0]
                if len(given) > 1:
                    problems[name] = ["Must be given once."]
        return values


def _not_text(query: str) -> Problems:
    """The parameters that are not UTF-8 (RFC 3986 section 2.5): read anyhow, they mean another."""
    problems: Problems = {}
    for pair in query.split("&"):
        try:
            unquote_to_bytes(pair).decode()
        except UnicodeDecodeError:
            problems[unquote(pair.partition("=")[0])] = ["Not valid UTF-8."]
    return problems


@cache
def query_reader(schema: type[Schema] | None) -> QueryReader:
    """The one reader of `schema`, or of an operation that takes nothing."""
    return QueryReader(schema or NoParameters)


def header_parameters(
    schema: type[Schema] | None, request: web.Request, problems: Problems
) -> dict[str, Any]:
    """The declared headers; lines of one name are one list (RFC 9110 section 5.3)."""
    if schema is None:
        return {}
    headers = request.headers
    values = {
        name: ", ".join(headers.getall(name)) for name in _header_names(schema) if name in headers
    }
    try:
        found: dict[str, Any] = (
            loader(schema).load(values) if values else _without_headers(schema).copy()
        )
    except ValidationError as error:
        problems.update(flatten_messages(error.messages))
        return {}
    return found


@cache
def _header_names(schema: type[Schema]) -> list[str]:
    return [bound.data_key or name for name, bound in loader(schema).load_fields.items()]


@cache
def _without_headers(schema: type[Schema]) -> dict[str, Any]:
    """What is read when none is there. Raises ValidationError when one has to be."""
    values: dict[str, Any] = loader(schema).load({})
    return values
