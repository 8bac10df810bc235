"""From requests to use-cases and back."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from aiohttp import web

from services.auth.devices import Devices
from services.auth.domain import Origin, SessionLife
from services.auth.events import AuthEvents
from services.auth.keys import KeyRing
from services.auth.passwords.hashing import Passwords
from services.auth.provenance import current_origin
from services.auth.repository import AuthRepository
from services.auth.tokens import Tokens
from services.auth.usecases import api_keys, login, password, profile, register, sessions
from services.auth.usecases.guard import Attempt, LoginGuard
from services.auth.usecases.lockout import Lockout
from shared.answers import Reply
from shared.client_address import CLIENT_ADDRESS_HEADER
from shared.clock import utc_now
from shared.cookies import Cookies
from shared.database import Store
from shared.endpoints import Given
from shared.errors import InvalidToken
from shared.middleware import PRINCIPAL, Handler

STORE: web.AppKey[Store[AuthRepository]] = web.AppKey("store", Store)
KEYS: web.AppKey[KeyRing] = web.AppKey("keys", KeyRing)
TOKENS: web.AppKey[Tokens] = web.AppKey("tokens", Tokens)
PASSWORDS: web.AppKey[Passwords] = web.AppKey("passwords", Passwords)
LOCKOUT: web.AppKey[Lockout] = web.AppKey("lockout", Lockout)
GUARD: web.AppKey[LoginGuard] = web.AppKey("guard", LoginGuard)
DEVICES: web.AppKey[Devices] = web.AppKey("devices", Devices)
COOKIES: web.AppKey[Cookies] = web.AppKey("cookies", Cookies)
SESSION_LIFE: web.AppKey[SessionLife] = web.AppKey("session_life", SessionLife)
COOKIE_LIFE: web.AppKey[SessionLife] = web.AppKey("cookie_life", SessionLife)
EVENTS: web.AppKey[AuthEvents] = web.AppKey("events", AuthEvents)

LONGEST_DEVICE, LONGEST_ADDRESS = 200, 64  # characters

# RFC 6749 section 5.1: no cache keeps what lets in.
NO_STORE = {"Cache-Control": "no-store"}
# A key is published before it signs, so a copy this old is still good.
JWKS_CACHE = {"Cache-Control": "public, max-age=300"}
ACCEPTED = "If the address can be registered, it now is."


async def register_user(request: web.Request, given: Given) -> Reply:
    app = request.app
    grant = await register.register(
        app[STORE],
        app[PASSWORDS],
        app[TOKENS],
        app[SESSION_LIFE],
        app[EVENTS],
        **given.body,
        origin=origin_of(request),
        now=utc_now(),
    )
    return Reply(grant, headers=NO_STORE, cookies=[device_cookie(app, given.body["email"])])


async def register_silently(request: web.Request, given: Given) -> Reply:
    app = request.app
    await register.register_silently(
        app[STORE], app[PASSWORDS], app[EVENTS], **given.body, now=utc_now()
    )
    return Reply({"message": ACCEPTED}, headers=NO_STORE)


async def log_in(request: web.Request, given: Given) -> Reply:
    app = request.app
    grant = await login.log_in(
        app[STORE],
        app[PASSWORDS],
        app[TOKENS],
        app[GUARD],
        app[SESSION_LIFE],
        app[EVENTS],
        attempt=attempt_of(request, given),
        now=utc_now(),
    )
    return Reply(grant, headers=NO_STORE, cookies=[device_cookie(app, given.body["email"])])


async def refresh_session(request: web.Request, given: Given) -> Reply:
    app = request.app
    grant = await sessions.refresh(
        app[STORE],
        app[TOKENS],
        app[SESSION_LIFE],
        app[EVENTS],
        refresh_token=given.body["refresh_token"],
        now=utc_now(),
    )
    return Reply(grant, headers=NO_STORE)


async def log_out(request: web.Request, given: Given) -> Reply:
    await sessions.log_out(
        request.app[STORE],
        request.app[EVENTS],
        session_id=session_id(request),
        everywhere=given.body["everywhere"],
        now=utc_now(),
    )
    return Reply()


async def list_sessions(request: web.Request, _given: Given) -> Reply:
    open_ones = await sessions.list_sessions(
        request.app[STORE], session_id=session_id(request), now=utc_now()
    )
    return Reply({"sessions": open_ones}, headers=NO_STORE)


async def end_session(request: web.Request, given: Given) -> Reply:
    await sessions.end_session(
        request.app[STORE],
        request.app[EVENTS],
        session_id=session_id(request),
        doomed=given.path["session_id"],
        now=utc_now(),
    )
    return Reply()


async def read_profile(request: web.Request, _given: Given) -> Reply:
    user = await profile.read_profile(
        request.app[STORE], session_id=session_id(request), now=utc_now()
    )
    return Reply(user, headers=NO_STORE)


async def change_profile(request: web.Request, given: Given) -> Reply:
    user = await profile.change_profile(
        request.app[STORE],
        session_id=session_id(request),
        name=given.body.get("name"),
        now=utc_now(),
    )
    return Reply(user, headers=NO_STORE)


async def change_password(request: web.Request, given: Given) -> Reply:
    app = request.app
    grant = await password.change_password(
        app[STORE],
        app[PASSWORDS],
        app[LOCKOUT],
        app[EVENTS],
        app[TOKENS],
        app[COOKIE_LIFE],
        session_id=session_id(request),
        **given.body,
        origin=origin_of(request),
        now=utc_now(),
    )
    return Reply(cookies=[] if grant is None else [session_cookie(app, grant.secret)])


async def make_api_key(request: web.Request, given: Given) -> Reply:
    made = await api_keys.make_api_key(
        request.app[STORE],
        request.app[EVENTS],
        session_id=session_id(request),
        **given.body,
        now=utc_now(),
    )
    return Reply(made, headers=NO_STORE)


async def list_api_keys(request: web.Request, _given: Given) -> Reply:
    keys = await api_keys.list_api_keys(
        request.app[STORE], session_id=session_id(request), now=utc_now()
    )
    return Reply({"api_keys": keys}, headers=NO_STORE)


async def rotate_api_key(request: web.Request, given: Given) -> Reply:
    made = await api_keys.rotate_api_key(
        request.app[STORE],
        request.app[EVENTS],
        session_id=session_id(request),
        key_id=given.path["key_id"],
        overlap=timedelta(seconds=given.body["overlap_seconds"]),
        now=utc_now(),
    )
    return Reply(made, headers=NO_STORE)


async def revoke_api_key(request: web.Request, given: Given) -> Reply:
    await api_keys.revoke_api_key(
        request.app[STORE],
        request.app[EVENTS],
        session_id=session_id(request),
        key_id=given.path["key_id"],
        now=utc_now(),
    )
    return Reply()


async def read_public_keys(request: web.Request, _given: Given) -> web.Response:
    return web.Response(
        body=request.app[KEYS].document, content_type="application/json", headers=JWKS_CACHE
    )


def attempt_of(request: web.Request, given: Given) -> Attempt:
    """The login that a request tries."""
    return Attempt(
        email=given.body["email"],
        password=given.body["password"],
        origin=origin_of(request),
        device_cookie=request.cookies.get(request.app[COOKIES].device),
    )


def device_cookie(app: web.Application, email: str) -> str:
    """Set-Cookie for a browser that has just logged in."""
    cookies, devices = app[COOKIES], app[DEVICES]
    return cookies.set(cookies.device, devices.issue(email, utc_now()), seconds=devices.seconds)


def session_cookie(app: web.Application, secret: str) -> str:
    """Set-Cookie for a session; the service and not the browser knows when it ends."""
    return app[COOKIES].set(app[COOKIES].session, secret)


def origin_of(request: web.Request) -> Origin:
    """What the client says it is, and the address that the gateway knows it by."""
    device = "".join(one for one in request.headers.get("User-Agent", "") if one.isprintable())
    address = request.headers.get(CLIENT_ADDRESS_HEADER, request.remote or "")
    return Origin(device[:LONGEST_DEVICE], address[:LONGEST_ADDRESS])


@web.middleware
async def note_origin(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Lets the audit log know where the request came from."""
    mark = current_origin.set(origin_of(request))
    try:
        return await handler(request)
    finally:
        current_origin.reset(mark)


def session_id(request: web.Request) -> UUID:
    """The caller's session. Raises InvalidToken for a token that belongs to none."""
    try:
        return UUID(request[PRINCIPAL].session_id)
    except ValueError as error:
        raise InvalidToken from error
