"""The policy table of auth: who may call what, with which body, answering what, failing how."""

from __future__ import annotations

from services.auth import administration, audit_routes, browser, handlers
from services.auth.domain import (
    AccountDisabled,
    BadRefreshToken,
    EmailTaken,
    ExpiryInThePast,
    NeedsLogin,
    TooManyApiKeys,
    WrongCredentials,
    WrongCurrentPassword,
)
from services.auth.schemas import (
    AcceptedView,
    ApiKeyPath,
    ApiKeyRequest,
    ApiKeyRotation,
    ApiKeysView,
    GrantView,
    JwkSetView,
    Login,
    LogoutRequest,
    MadeApiKeyView,
    PasswordChange,
    ProfilePatch,
    ProfileView,
    RefreshRequest,
    Registration,
    SessionPath,
    SessionsView,
)
from shared.endpoints import LOGIN_ONLY, MERGE_PATCH, Endpoint
from shared.errors import JSON, AccountLocked, NotFound, RateLimited
from shared.identity import Permission

VERSIONS = ("/v1", "/v2")
TAGS = ("auth",)
_UNCACHED = {"Cache-Control": "no-store"}
_EXAMPLE_PASSWORD = "seven-lazy-otters-paint"  # noqa: S105 - of an example

_REGISTER = Endpoint(
    method="POST",
    path="/auth/register",
    handler=handlers.register_user,
    summary="Make an account and log in to it",
    permission=None,
    body=Registration,
    returns=GrantView,
    status=201,
    answer_headers=_UNCACHED,
    errors=(EmailTaken,),
    tags=TAGS,
)
_REGISTER_SILENTLY = Endpoint(
    method="POST",
    path="/auth/register",
    handler=handlers.register_silently,
    summary="Make an account, without a word on whether the address was free",
    permission=None,
    body=Registration,
    returns=AcceptedView,
    status=202,
    answer_headers=_UNCACHED,
    tags=TAGS,
)
_OTHERS = (
    Endpoint(
        method="POST",
        path="/auth/login",
        handler=handlers.log_in,
        summary="Log in",
        description=(
            "Five wrong passwords in a row lock the address, known or not, for 15 minutes, and "
            "twice as long each further time. While it is locked the right password is refused "
            "too; a browser that has logged in before and kept its device cookie has a count of "
            "its own. Too many accounts failed at from one address are answered 429. `otp` is not "
            "looked at while the account has no second factor."
        ),
        permission=None,
        body=Login,
        returns=GrantView,
        answer_headers=_UNCACHED,
        errors=(WrongCredentials, AccountDisabled, AccountLocked, RateLimited),
        tags=TAGS,
    ),
    Endpoint(
        method="POST",
        path="/auth/refresh",
        handler=handlers.refresh_session,
        summary="Exchange a refresh token for the next pair of tokens",
        description=(
            "A repeat with the token that was used last answers with the current pair, so a lost "
            "answer does no harm. A token older than that ends the session. A session ends at "
            "`idle_expires_at` unless it is refreshed, and at `session_expires_at` in any case."
        ),
        permission=None,
        body=RefreshRequest,
        returns=GrantView,
        answer_headers=_UNCACHED,
        errors=(BadRefreshToken,),
        tags=TAGS,
    ),
    Endpoint(
        method="POST",
        path="/auth/logout",
        handler=handlers.log_out,
        summary="End this session, or all of yours",
        permission=Permission.PROFILE,
        credentials=LOGIN_ONLY,
        body=LogoutRequest,
        body_required=False,
        status=204,
        tags=TAGS,
    ),
    Endpoint(
        method="GET",
        path="/auth/profile",
        handler=handlers.read_profile,
        summary="Your account",
        permission=Permission.PROFILE,
        returns=ProfileView,
        answer_headers=_UNCACHED,
        tags=TAGS,
    ),
    Endpoint(
        method="PATCH",
        path="/auth/profile",
        handler=handlers.change_profile,
        summary="Change your account",
        permission=Permission.PROFILE,
        body=ProfilePatch,
        body_media=(JSON, MERGE_PATCH),
        returns=ProfileView,
        answer_headers=_UNCACHED,
        tags=TAGS,
    ),
    Endpoint(
        method="POST",
        path="/auth/password",
        handler=handlers.change_password,
        summary="Change your password and end your other sessions",
        description=(
            "Five wrong current passwords in a row are answered 429 for a while. A session by "
            "cookie gets another cookie, and needs another CSRF token."
        ),
        permission=Permission.PROFILE,
        credentials=LOGIN_ONLY,
        body=PasswordChange,
        body_example={
            "current_password": _EXAMPLE_PASSWORD,
            "new_password": "eight-wise-herons-sing",
        },
        status=204,
        errors=(WrongCurrentPassword, RateLimited),
        tags=TAGS,
    ),
)
_SESSIONS = (
    Endpoint(
        method="GET",
        path="/auth/sessions",
        handler=handlers.list_sessions,
        summary="Your sessions, the one used last first",
        permission=Permission.PROFILE,
        credentials=LOGIN_ONLY,
        returns=SessionsView,
        answer_headers=_UNCACHED,
        errors=(NeedsLogin,),
        tags=TAGS,
    ),
    Endpoint(
        method="DELETE",
        path="/auth/sessions/{session_id}",
        handler=handlers.end_session,
        summary="End one of your sessions",
        permission=Permission.PROFILE,
        credentials=LOGIN_ONLY,
        path_params=SessionPath,
        status=204,
        errors=(NeedsLogin, NotFound),
        tags=TAGS,
    ),
)
_API_KEYS = (
    Endpoint(
        method="POST",
        path="/auth/api-keys",
        handler=handlers.make_api_key,
        summary="Make an API key",
        description=(
            "The key goes into the header `X-API-Key` and is shown in this answer only. What it "
            "may do never exceeds what you may, and its rate limits are yours."
        ),
        permission=Permission.PROFILE,
        credentials=LOGIN_ONLY,
        body=ApiKeyRequest,
        returns=MadeApiKeyView,
        status=201,
        answer_headers=_UNCACHED,
        errors=(NeedsLogin, ExpiryInThePast, TooManyApiKeys),
        tags=TAGS,
    ),
    Endpoint(
        method="GET",
        path="/auth/api-keys",
        handler=handlers.list_api_keys,
        summary="Your API keys, the newest first",
        permission=Permission.PROFILE,
        credentials=LOGIN_ONLY,
        returns=ApiKeysView,
        answer_headers=_UNCACHED,
        errors=(NeedsLogin,),
        tags=TAGS,
    ),
    Endpoint(
        method="DELETE",
        path="/auth/api-keys/{key_id}",
        handler=handlers.revoke_api_key,
        summary="Revoke an API key",
        permission=Permission.PROFILE,
        credentials=LOGIN_ONLY,
        path_params=ApiKeyPath,
        status=204,
        errors=(NeedsLogin, NotFound),
        tags=TAGS,
    ),
    Endpoint(
        method="POST",
        path="/auth/api-keys/{key_id}/rotate",
        handler=handlers.rotate_api_key,
        summary="Replace an API key by another with the same rights",
        permission=Permission.PROFILE,
        credentials=LOGIN_ONLY,
        path_params=ApiKeyPath,
        body=ApiKeyRotation,
        body_required=False,
        returns=MadeApiKeyView,
        status=201,
        answer_headers=_UNCACHED,
        errors=(NeedsLogin, NotFound, TooManyApiKeys),
        tags=TAGS,
    ),
)
# Where RFC 8615 has it: below no version.
PUBLIC_KEYS = Endpoint(
    method="GET",
    path="/.well-known/jwks.json",
    handler=handlers.read_public_keys,
    summary="The public keys of access tokens",
    permission=None,
    returns=JwkSetView,
    tags=TAGS,
)


def endpoints(*, enumeration_safe: bool) -> tuple[Endpoint, ...]:
    """Every operation, in every version; both versions are the same."""
    register = _REGISTER_SILENTLY if enumeration_safe else _REGISTER
    every = (
        register,
        *_OTHERS,
        *browser.ENDPOINTS,
        *_SESSIONS,
        *_API_KEYS,
        *administration.ENDPOINTS,
        *audit_routes.ENDPOINTS,
    )
    versioned = (one.under(version) for version in VERSIONS for one in every)
    return (*versioned, PUBLIC_KEYS)
