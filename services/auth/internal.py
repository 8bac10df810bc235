"""What auth offers to other services and never to clients: the gateway routes none of it."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol

from aiohttp import web

from services.auth import handlers
from services.auth.audit.recording import Sampled
from services.auth.internal_schemas import DeletionPageView
from services.auth.repository import AuthStore
from services.auth.revocation_signal import RevocationSignal
from services.auth.schemas import (
    AccessTokenView,
    ExchangeRequest,
    FeedQuery,
    RevocationPageView,
    ServiceTokenView,
)
from services.auth.service_access import ServiceAccess
from services.auth.usecases.api_keys import exchange_api_key
from services.auth.usecases.cookie_sessions import exchange_session
from services.auth.usecases.deletions import DeletionPage, read_deletions
from services.auth.usecases.revocations import RevocationPage, read_revocations
from shared.answers import Reply
from shared.clock import utc_now
from shared.endpoints import Endpoint, Given
from shared.errors import NotFound, Unauthorized

SERVICES: web.AppKey[ServiceAccess] = web.AppKey("services", ServiceAccess)
REFUSALS: web.AppKey[Sampled] = web.AppKey("refusals", Sampled)
SIGNAL: web.AppKey[RevocationSignal] = web.AppKey("signal", RevocationSignal)

KEY_HEADER = "X-Service-Key"
TOKEN_HEADER = "X-Service-Token"  # noqa: S105 - the name of a header
TAGS = ("internal",)
# A lost signal may cost this much of the second in which a revocation must be felt.
LOOK_SECONDS = 0.5


class Read(Protocol):
    """Reads a page of one of the feeds."""

    async def __call__(self, store: AuthStore, *, after: int) -> RevocationPage | DeletionPage: ...


async def sell_service_token(request: web.Request, _given: Given) -> Reply:
    token = request.app[SERVICES].sell(request.headers.get(KEY_HEADER), utc_now())
    return Reply(token, headers=handlers.NO_STORE)


async def follow_revocations(request: web.Request, given: Given) -> Reply:
    """Answers as soon as there is something after `after`, else when `wait` seconds are over."""
    return await _follow(request, given, read_revocations)


async def follow_deletions(request: web.Request, given: Given) -> Reply:
    """As `follow_revocations`; a deletion is a revocation too, so the same signal tells of it."""
    return await _follow(request, given, read_deletions)


async def exchange_credential(request: web.Request, given: Given) -> Reply:
    app = request.app
    await app[SERVICES].check(request.headers.get(TOKEN_HEADER))
    store, tokens, now = app[handlers.STORE], app[handlers.TOKENS], utc_now()
    if "session" in given.body:
        life = app[handlers.COOKIE_LIFE]
        token = await exchange_session(store, tokens, life, secret=given.body["session"], now=now)
    else:
        token = await exchange_api_key(
            store,
            tokens,
            app[handlers.EVENTS],
            app[REFUSALS],
            api_key=given.body["api_key"],
            now=now,
        )
    return Reply(token, headers=handlers.NO_STORE)


async def _follow(request: web.Request, given: Given, read: Read) -> Reply:
    app = request.app
    signal = app[SIGNAL]
    await app[SERVICES].check(request.headers.get(TOKEN_HEADER))
    ends_at = time.monotonic() + given.query["wait"]
    while True:
        published = signal.next()
        page = await read(app[handlers.STORE], after=given.query["after"])
        left = ends_at - time.monotonic()
        if left <= 0 or page.has_news or signal.ended:
            return Reply(page, headers=handlers.NO_STORE)
        try:
            async with asyncio.timeout(min(left, LOOK_SECONDS)):
                await published.wait()
        except TimeoutError:
            continue


async def answer_who_waits(app: web.Application) -> None:
    """Ends the long polls of a process that stops."""
    app[SIGNAL].end()


ENDPOINTS = (
    Endpoint(
        method="POST",
        path="/internal/token",
        handler=sell_service_token,
        summary="Buy a service token with a service key",
        permission=None,
        returns=ServiceTokenView,
        errors=(Unauthorized,),
        tags=TAGS,
    ),
    Endpoint(
        method="POST",
        path="/internal/exchange",
        handler=exchange_credential,
        summary="Turn an API key or a session's cookie into a short access token",
        permission=None,
        body=ExchangeRequest,
        returns=AccessTokenView,
        errors=(Unauthorized, NotFound),
        tags=TAGS,
    ),
    Endpoint(
        method="GET",
        path="/internal/revocations",
        handler=follow_revocations,
        summary="Follow the revocations",
        permission=None,
        query=FeedQuery,
        returns=RevocationPageView,
        errors=(Unauthorized,),
        tags=TAGS,
    ),
    Endpoint(
        method="GET",
        path="/internal/deletions",
        handler=follow_deletions,
        summary="Follow the deletions of accounts",
        permission=None,
        query=FeedQuery,
        returns=DeletionPageView,
        errors=(Unauthorized,),
        tags=TAGS,
    ),
)
