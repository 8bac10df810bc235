"""An Endpoint declares one operation; the same declaration validates, authorises and documents."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import Any

from aiohttp import web
from marshmallow import Schema
from multidict import CIMultiDict

from shared.accept import media_ranges, preference
from shared.answers import Reply, encode
from shared.errors import (
    JSON,
    PROBLEM_JSON,
    ApiError,
    Forbidden,
    NotAcceptable,
    PayloadTooLarge,
    Unauthorized,
    UnsupportedMediaType,
    ValidationFailed,
)
from shared.identity import Permission, Principal
from shared.json_body import parse_json
from shared.middleware import PRINCIPAL
from shared.parameters import header_parameters, load, path_parameters, query_reader
from shared.schemas import JsonArray

DEFAULT_MAX_BODY = 1_048_576
MERGE_PATCH = "application/merge-patch+json"
VENDOR_PREFIX = "application/vnd.tasklane."


@dataclass(slots=True)
class Given:
    """The validated input of one request. Parts that the endpoint does not declare are empty.

    `raw` is the body as it was sent.
    """

    path: Mapping[str, Any]
    query: Mapping[str, Any]
    headers: Mapping[str, Any]
    body: Any
    raw: bytes = b""


Handler = Callable[[web.Request, Given], Awaitable[Reply | web.StreamResponse]]
# Runs an operation, or does not, or with something around it; the last argument finishes it.
Around = Callable[
    [web.Request, Given, Callable[[], Awaitable[web.StreamResponse]]],
    Awaitable[web.StreamResponse],
]


class Credential(StrEnum):
    """What a caller may show to say who he is; the names are those of the security schemes.

    Services see a bearer token in any case: the gateway takes the others and exchanges them.
    """

    BEARER = "bearerAuth"
    API_KEY = "apiKeyAuth"
    COOKIE = "sessionCookie"


# Where an API key does not do: it must not make, or end, what outlives it.
LOGIN_ONLY = (Credential.BEARER, Credential.COOKIE)


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """One operation: who may call it, what it takes, what it answers, how it fails.

    `permission` None means anyone; else one of `credentials` is needed. `body` is read as JSON of
    one of the `body_media`; without `body_required` a request may leave it out, which counts as an
    empty object. With `streams_body` the handler reads the body itself and `body` is left out.
    `returns` None means an answer without a JSON body; `also_returns` are the shapes that a Reply
    may name instead. `errors` are those of the operation's own; the ones that any request can meet
    are known. `around` is called with the validated input in place of the handler, and runs it.
    """

    method: str
    path: str
    handler: Handler
    summary: str
    permission: Permission | None
    credentials: tuple[Credential, ...] = tuple(Credential)
    status: int = 200
    description: str = ""
    tags: tuple[str, ...] = ()
    path_params: type[Schema] | None = None
    query: type[Schema] | None = None
    headers: type[Schema] | None = None
    body: type[Schema] | JsonArray | None = None
    body_media: tuple[str, ...] = (JSON,)
    body_required: bool = True
    body_example: Any = None
    streams_body: bool = False
    max_body: int = DEFAULT_MAX_BODY
    returns: type[Schema] | None = None
    also_returns: tuple[type[Schema], ...] = ()
    returns_media: tuple[str, ...] = (JSON,)
    answer_headers: Mapping[str, str] = field(default_factory=dict)
    other_statuses: Mapping[int, str] = field(default_factory=dict)
    errors: tuple[type[ApiError], ...] = ()
    around: Around | None = None

    @property
    def operation_id(self) -> str:
        return self.handler.__name__

    def under(self, prefix: str) -> Endpoint:
        """The same operation below `prefix`, such as `/v1`."""
        return dataclasses.replace(self, path=prefix + self.path)

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        """Runs the operation for aiohttp: authorise, negotiate, validate, handle, answer."""
        authorise(request.get(PRINCIPAL), self.permission)
        self._negotiate(request.headers.get("Accept"))
        given = await self._read(request)
        if self.around is None:
            return await self._answer(request, given)
        return await self.around(request, given, partial(self._answer, request, given))

    async def _answer(self, request: web.Request, given: Given) -> web.StreamResponse:
        outcome = await self.handler(request, given)
        if isinstance(outcome, web.StreamResponse):
            return outcome
        headers = CIMultiDict(outcome.headers)
        for cookie in outcome.cookies:
            headers.add("Set-Cookie", cookie)
        status = outcome.status or self.status
        if self.returns is None or outcome.data is None:
            return web.Response(status=status, headers=headers)
        headers["Content-Type"] = JSON
        body = encode(outcome.data, outcome.shape or self.returns)
        return web.Response(status=status, body=body, headers=headers)

    def _negotiate(self, accept: str | None) -> None:
        """RFC 9110 section 12.5.1. Our vendor types name a version of JSON; errors are JSON too."""
        if not accept or accept == "*/*":
            return
        for media in (*self.returns_media, JSON, PROBLEM_JSON):
            if preference(accept, media) > 0:
                return
        if any(media.startswith(VENDOR_PREFIX) and q > 0 for media, q in media_ranges(accept)):
            return
        raise NotAcceptable(details={"accept": [f"Available: {', '.join(self.returns_media)}."]})

    async def _read(self, request: web.Request) -> Given:
        problems: dict[str, list[str]] = {}
        path = path_parameters(self.path_params, request.match_info, problems)
        query = query_reader(self.query).read(request, problems)
        headers = header_parameters(self.headers, request, problems)
        body: Any = None
        raw = b""
        if self.body is not None and not self.body_required and not request.can_read_body:
            body = load(self.body, {}, problems)
        elif self.body is not None:
            check_media(request, self.body_media)
            raw = await read_body(request, self.max_body)
            body = load(self.body, parse_json(raw), problems)
        elif self.streams_body:
            check_media(request, self.body_media)
        if problems:
            raise ValidationFailed(details=problems)
        return Given(path=path, query=query, headers=headers, body=body, raw=raw)


def authorise(principal: Principal | None, permission: Permission | None) -> None:
    """Raises Unauthorized without an identity, Forbidden with one that lacks `permission`."""
    if permission is None:
        return
    if principal is None:
        raise Unauthorized
    if not principal.may(permission):
        raise Forbidden(details={"permission": [f"Needs {permission.value}."]})


def check_media(request: web.Request, accepted: tuple[str, ...]) -> None:
    """Raises UnsupportedMediaType unless the body is one of `accepted`, in UTF-8, not packed."""
    offered = f"Must be one of: {', '.join(accepted)}."
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise UnsupportedMediaType(details={"content-encoding": ["Must not be used."]})
    if "Content-Type" not in request.headers:
        raise UnsupportedMediaType(details={"content-type": [offered]})
    media = request.content_type.lower()
    vendor = JSON in accepted and media.startswith(VENDOR_PREFIX) and media.endswith("+json")
    if media not in accepted and not vendor:
        raise UnsupportedMediaType(details={"content-type": [offered]})
    if (request.charset or "utf-8").lower() not in {"utf-8", "utf8"}:
        raise UnsupportedMediaType(details={"content-type": ["The charset must be utf-8."]})


async def read_body(request: web.Request, limit: int) -> bytes:
    """The whole request body. Raises PayloadTooLarge as soon as it is known to exceed `limit`."""
    if (request.content_length or 0) > limit:
        raise PayloadTooLarge(details={"body": [f"At most {limit} bytes."]})
    if request.content.is_eof() and (request.content_length or 0) > 0:
        # It came together with its head, as small ones do, and is no longer than was announced.
        whole: bytes = request.content.read_nowait()
        return whole
    parts: list[bytes] = []
    size = 0
    async for part in request.content.iter_any():
        size += len(part)
        if size > limit:
            raise PayloadTooLarge(details={"body": [f"At most {limit} bytes."]})
        parts.append(part)
    return b"".join(parts)
