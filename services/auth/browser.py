"""What a browser needs: a session by cookie, and the tokens that protect it from other sites."""

from __future__ import annotations

from uuid import UUID

from aiohttp import web

from services.auth.domain import (
    AccountDisabled,
    NeedsCookieSession,
    NeedsLogin,
    SessionOwner,
    WrongCredentials,
)
from services.auth.handlers import (
    COOKIE_LIFE,
    COOKIES,
    EVENTS,
    GUARD,
    NO_STORE,
    PASSWORDS,
    STORE,
    TOKENS,
    attempt_of,
    device_cookie,
    session_cookie,
    session_id,
)
from services.auth.schemas import (
    CookieGrantView,
    CsrfView,
    Login,
    LogoutRequest,
    SessionProfileView,
)
from services.auth.usecases import cookie_sessions, sessions
from shared.answers import Reply
from shared.clock import utc_now
from shared.csrf import new_csrf_token
from shared.endpoints import LOGIN_ONLY, Credential, Endpoint, Given
from shared.errors import AccountLocked, CsrfFailed, RateLimited
from shared.identity import Permission
from shared.middleware import PRINCIPAL

TAGS = ("auth",)
_UNCACHED = {"Cache-Control": "no-store"}
_SETS_COOKIES = {**_UNCACHED, "Set-Cookie": "The session, and the device cookie."}


async def log_in_by_cookie(request: web.Request, given: Given) -> Reply:
    app = request.app
    grant = await cookie_sessions.log_in_by_cookie(
        app[STORE],
        app[PASSWORDS],
        app[TOKENS],
        app[GUARD],
        app[COOKIE_LIFE],
        app[EVENTS],
        attempt=attempt_of(request, given),
        replaces=_session_before(request),
        now=utc_now(),
    )
    cookies = [session_cookie(app, grant.secret), device_cookie(app, given.body["email"])]
    return Reply(grant, headers=NO_STORE, cookies=cookies)


async def log_out_by_cookie(request: web.Request, given: Given) -> Reply:
    owner = await _owner(request)
    await sessions.log_out(
        request.app[STORE],
        request.app[EVENTS],
        session_id=owner.session_id,
        everywhere=given.body["everywhere"],
        now=utc_now(),
    )
    return Reply(headers=NO_STORE, cookies=[request.app[COOKIES].clear_session()])


async def read_session_profile(request: web.Request, _given: Given) -> Reply:
    return Reply(await _owner(request), headers=NO_STORE)


async def read_csrf_token(request: web.Request, _given: Given) -> Reply:
    owner = await _owner(request)
    key = request.app[TOKENS].csrf_key(owner.session_id)
    return Reply({"csrf_token": new_csrf_token(key.encode())}, headers=NO_STORE)


async def _owner(request: web.Request) -> SessionOwner:
    return await cookie_sessions.read_own_session(
        request.app[STORE], session_id=session_id(request), now=utc_now()
    )


def _session_before(request: web.Request) -> UUID | None:
    """The session that the browser has had until this login."""
    return session_id(request) if PRINCIPAL in request else None


ENDPOINTS = (
    Endpoint(
        method="POST",
        path="/auth/session-login",
        handler=log_in_by_cookie,
        summary="Log in with a cookie, for browsers",
        description=(
            "Sets the cookie `__Host-session` (`session` in development). It ends with the "
            "browser, after half an hour without use and twelve hours after the login. A request "
            "that changes anything needs `csrf_token` as `X-CSRF-Token`. A session that the "
            "browser had before is ended. Requests of other sites are refused."
        ),
        permission=None,
        body=Login,
        returns=CookieGrantView,
        answer_headers=_SETS_COOKIES,
        errors=(WrongCredentials, AccountDisabled, AccountLocked, RateLimited, CsrfFailed),
        tags=TAGS,
    ),
    Endpoint(
        method="POST",
        path="/auth/session-logout",
        handler=log_out_by_cookie,
        summary="End this session, or all of yours, and clear the cookie",
        permission=Permission.PROFILE,
        credentials=LOGIN_ONLY,
        body=LogoutRequest,
        body_required=False,
        status=204,
        answer_headers=_SETS_COOKIES,
        errors=(NeedsLogin, NeedsCookieSession),
        tags=TAGS,
    ),
    Endpoint(
        method="GET",
        path="/auth/session-profile",
        handler=read_session_profile,
        summary="Your account, and when this session ends",
        permission=Permission.PROFILE,
        credentials=(Credential.COOKIE,),
        returns=SessionProfileView,
        answer_headers=_UNCACHED,
        errors=(NeedsLogin, NeedsCookieSession),
        tags=TAGS,
    ),
    Endpoint(
        method="GET",
        path="/auth/csrf",
        handler=read_csrf_token,
        summary="A CSRF token of this session",
        permission=Permission.PROFILE,
        credentials=(Credential.COOKIE,),
        returns=CsrfView,
        answer_headers=_UNCACHED,
        errors=(NeedsLogin, NeedsCookieSession),
        tags=TAGS,
    ),
)
