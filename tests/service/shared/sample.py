"""The endpoints of the sample service: one of each kind that shared/ has to serve."""

from __future__ import annotations

import asyncio
from uuid import UUID

from aiohttp import web
from marshmallow import Schema, fields, validate

from shared.answers import Reply
from shared.endpoints import MERGE_PATCH, Endpoint, Given
from shared.errors import JSON, Conflict
from shared.fields import Flag, FlagParameter, Text, Uuid, Whole, WholeParameter
from shared.identity import Permission
from shared.schemas import HeaderSchema, JsonArray, StrictSchema, View

MAX_BODY = 2000


class ThingRef(Schema):
    thing_id = Uuid(required=True)


class Filters(StrictSchema):
    page = WholeParameter(minimum=1, maximum=100, load_default=1)
    completed = FlagParameter()
    q = Text(maximum=20)
    sort = fields.List(Text(maximum=20), validate=validate.Length(max=3))


class Conditional(HeaderSchema):
    if_match = Text(maximum=100, data_key="If-Match")


class NewThing(StrictSchema):
    title = Text(minimum=1, maximum=20, required=True)
    weight = Whole(minimum=1, maximum=5, load_default=1)
    labels = fields.List(Text(minimum=1, maximum=5), validate=validate.Length(max=3))


class Order(StrictSchema):
    upwards = Flag(load_default=True)


class EchoView(View):
    path = fields.Dict()
    query = fields.Dict()
    headers = fields.Dict()
    body = fields.Raw()


async def echo(_request: web.Request, given: Given) -> Reply:
    return Reply(given)


async def make(_request: web.Request, given: Given) -> Reply:
    return Reply(given, headers={"Location": "/v2/things/7"})


async def patch(_request: web.Request, given: Given) -> Reply:
    if given.headers.get("if_match") == '"stale"':
        raise Conflict(details={"if-match": ["Stale."]}, headers={"X-Why": "stale"})
    return Reply(given)


async def delete(_request: web.Request, _given: Given) -> Reply:
    return Reply(status=204)


async def bulk(_request: web.Request, given: Given) -> Reply:
    return Reply(given)


async def drink(request: web.Request, _given: Given) -> Reply:
    size = 0
    async for part in request.content.iter_any():
        size += len(part)
    return Reply({"path": {}, "query": {}, "headers": {}, "body": size})


async def crash(_request: web.Request, _given: Given) -> Reply:
    raise RuntimeError("password=hunter2 \udc80")


async def refused_elsewhere(_request: web.Request, _given: Given) -> Reply:
    raise ConnectionRefusedError("10.0.0.1 refused")


async def stream(request: web.Request, _given: Given) -> web.StreamResponse:
    answer = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
    await answer.prepare(request)
    await answer.write(b"first\n")
    await answer.write_eof()
    return answer


async def broken_stream(request: web.Request, _given: Given) -> web.StreamResponse:
    answer = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
    await answer.prepare(request)
    await answer.write(b"first\n")
    raise RuntimeError("half way")


async def refused_stream(request: web.Request, _given: Given) -> web.StreamResponse:
    answer = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
    await answer.prepare(request)
    await answer.write(b"first\n")
    raise Conflict


async def endless(request: web.Request, _given: Given) -> web.StreamResponse:
    answer = web.StreamResponse()
    await answer.prepare(request)
    while True:
        await answer.write(b"x" * 65_536)
        await asyncio.sleep(0)


class Gates:
    """What a test waits for in, and tells to, the operations `slow`."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self.open = asyncio.Event()


GATES: web.AppKey[Gates] = web.AppKey("gates", Gates)


def things(method: str, handler: object, **more: object) -> Endpoint:
    options = {"path": "/v2/things", "permission": None, "returns": EchoView, **more}
    return Endpoint(method=method, handler=handler, summary="A thing", **options)  # type: ignore[arg-type]


def failing(name: str, handler: object) -> Endpoint:
    return things("GET", handler, path=f"/v2/{name}", returns=None)


# Operations of one path are not neighbours here: their order must not matter.
ENDPOINTS: tuple[Endpoint, ...] = (
    things("GET", echo, query=Filters),
    things("GET", echo, path="/v2/things/{thing_id}", path_params=ThingRef, headers=Conditional),
    things("POST", make, body=NewThing, status=201, max_body=MAX_BODY),
    things(
        "PATCH",
        patch,
        path="/v2/things/{thing_id}",
        path_params=ThingRef,
        query=Filters,
        headers=Conditional,
        body=NewThing,
        body_media=(MERGE_PATCH, JSON),
        errors=(Conflict,),
    ),
    things(
        "DELETE",
        delete,
        path="/v2/things/{thing_id}",
        path_params=ThingRef,
        returns=None,
        status=204,
    ),
    things("POST", echo, path="/v2/things/sort", body=Order, body_required=False),
    things("POST", bulk, path="/v2/things/bulk", body=JsonArray(maximum=3, about="A thing.")),
    things(
        "POST",
        drink,
        path="/v2/things/import",
        streams_body=True,
        body_media=("application/x-ndjson",),
    ),
    things("GET", echo, path="/v2/private", permission=Permission.TASKS_WRITE),
    things("GET", echo, path="/v2/others", permission=Permission.TASKS_OF_OTHERS),
    things("GET", echo, path="/v1/things"),
    failing("crash", crash),
    failing("refused-elsewhere", refused_elsewhere),
    failing("stream", stream),
    failing("broken-stream", broken_stream),
    failing("refused-stream", refused_stream),
    failing("endless", endless),
)

THING = UUID("0199a6f0-c0de-7000-8000-000000000007")
