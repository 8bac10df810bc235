"""Idempotency-Key (draft-ietf-httpapi-idempotency-key-header) on everything that is posted."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Awaitable, Callable

from aiohttp import web

from services.tasks.domain import ExternalIdTaken, ParentRefused
from services.tasks.handlers.keys import ANSWERS
from services.tasks.repository.answers import KeptAnswer, KeyName
from services.tasks.usecases.idempotency import once
from shared.endpoints import Given
from shared.errors import ApiError, ValidationFailed, render
from shared.middleware import PRINCIPAL, REQUEST_ID, route_template

HEADER = "Idempotency-Key"
ABOUT = (
    "With `Idempotency-Key: <1 to 255 visible characters>` the request takes effect once: sent "
    "again within 24 hours it gets the first answer again, with `Idempotent-Replayed: true`. "
    "Another request under the same key is refused with 422, and one that comes while the first "
    "is still running with 409."
)
_KEY = re.compile(r'"[!-~]{1,255}"|[!-~]{1,255}', re.ASCII)
# Decided on the state of the data, after all validation: the same request gets the same decision.
_DECISIONS = (ExternalIdTaken, ParentRefused)

Run = Callable[[], Awaitable[web.StreamResponse]]


async def idempotent(request: web.Request, given: Given, run: Run) -> web.StreamResponse:
    """Runs an operation whose body has been read at most once under its key."""
    if HEADER not in request.headers:
        return await run()
    return await run_once(request, hashlib.sha256(given.raw).digest(), run)


async def run_once(request: web.Request, body_digest: bytes, run: Run) -> web.StreamResponse:
    """As `idempotent`, for a body that is known by its digest. Raises ValidationFailed."""
    key = _key(request)
    if key is None:
        return await run()
    name = KeyName(request[PRINCIPAL].user_id, f"{request.method} {route_template(request)}", key)
    target = request.rel_url.raw_path_qs.encode()
    fingerprint = hashlib.sha256(target + b"\n" + body_digest).digest()

    async def work() -> KeptAnswer:
        answer = await _decided(request, run)
        assert isinstance(answer, web.Response)
        assert isinstance(answer.body, bytes | None)
        headers = {str(field): value for field, value in answer.headers.items()}
        return KeptAnswer(fingerprint, answer.status, headers, answer.body or b"")

    outcome = await once(request.app[ANSWERS], name, fingerprint, work)
    headers = {
        field: value
        for field, value in outcome.answer.headers.items()
        if field.title() not in ("Content-Length", "X-Request-Id")
    }
    if outcome.replayed:
        headers["Idempotent-Replayed"] = "true"
    return web.Response(status=outcome.answer.status, headers=headers, body=outcome.answer.body)


async def _decided(request: web.Request, run: Run) -> web.StreamResponse:
    try:
        async with request.app[ANSWERS].begin():
            return await run()
    except _DECISIONS as error:
        return _rendered(request, error)


def _rendered(request: web.Request, error: ApiError) -> web.Response:
    rendered = render(error, request_id=request[REQUEST_ID], accept=request.headers.get("Accept"))
    return web.Response(status=rendered.status, body=rendered.body, headers=rendered.headers)


def _key(request: web.Request) -> str | None:
    given = request.headers.getall(HEADER, None)
    if given is None:
        return None
    if len(given) > 1 or not _KEY.fullmatch(given[0]):
        raise ValidationFailed(
            details={HEADER.lower(): ["Must be one key of 1 to 255 visible characters."]}
        )
    # A structured field has quotes (RFC 9651 section 3.3.3); most clients send none.
    quoted = len(given[0]) > 2 and given[0][0] == given[0][-1] == '"'
    return given[0][1:-1] if quoted else given[0]
