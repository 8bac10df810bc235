"""The administration of accounts: from requests to use-cases, and who may call what."""

from __future__ import annotations

from aiohttp import web

from services.auth.administration_schemas import (
    UserPageView,
    UserPatch,
    UserPath,
    UserQuery,
    UserRequest,
)
from services.auth.domain import EmailTaken, LastAdministrator
from services.auth.handlers import EVENTS, LOCKOUT, NO_STORE, PASSWORDS, STORE, session_id
from services.auth.pages import PUBLIC_PREFIX, numbered_page
from services.auth.repository.directory import FILTERS
from services.auth.schemas import ProfileView
from services.auth.usecases import administration
from services.auth.usecases.administration import Caller
from shared.answers import Reply
from shared.clock import utc_now
from shared.endpoints import MERGE_PATCH, Endpoint, Given
from shared.errors import JSON, NotFound
from shared.identity import Permission
from shared.middleware import PRINCIPAL

TAGS = ("users",)
_UNCACHED = {"Cache-Control": "no-store"}


async def list_users(request: web.Request, given: Given) -> Reply:
    page = await administration.list_users(
        request.app[STORE],
        caller_of(request),
        filters={name: given.query[name] for name in FILTERS if name in given.query},
        offset=(given.query["page"] - 1) * given.query["page_size"],
        limit=given.query["page_size"],
        now=utc_now(),
    )
    return Reply(numbered_page(request, given, page.total, page.users), headers=NO_STORE)


async def create_user(request: web.Request, given: Given) -> Reply:
    app = request.app
    user = await administration.create_user(
        app[STORE], app[PASSWORDS], app[EVENTS], caller_of(request), **given.body, now=utc_now()
    )
    location = f"{PUBLIC_PREFIX}{request.path}/{user.id}"
    return Reply(user, headers={**NO_STORE, "Location": location})


async def read_user(request: web.Request, given: Given) -> Reply:
    user = await administration.read_user(
        request.app[STORE], caller_of(request), user_id=given.path["user_id"], now=utc_now()
    )
    return Reply(user, headers=NO_STORE)


async def change_user(request: web.Request, given: Given) -> Reply:
    user = await administration.change_user(
        request.app[STORE],
        request.app[LOCKOUT],
        request.app[EVENTS],
        caller_of(request),
        user_id=given.path["user_id"],
        changes=given.body,
        now=utc_now(),
    )
    return Reply(user, headers=NO_STORE)


async def delete_user(request: web.Request, given: Given) -> Reply:
    await administration.delete_user(
        request.app[STORE],
        request.app[EVENTS],
        caller_of(request),
        user_id=given.path["user_id"],
        now=utc_now(),
    )
    return Reply()


def caller_of(request: web.Request) -> Caller:
    """Who acts, as far as the request tells. Raises InvalidToken."""
    return Caller(session_id(request), request[PRINCIPAL].scope)


ENDPOINTS = (
    Endpoint(
        method="GET",
        path="/users",
        handler=list_users,
        summary="Accounts, the newest first",
        permission=Permission.USERS_READ,
        query=UserQuery,
        returns=UserPageView,
        answer_headers=_UNCACHED,
        tags=TAGS,
    ),
    Endpoint(
        method="POST",
        path="/users",
        handler=create_user,
        summary="Make an account for somebody",
        permission=Permission.USERS_WRITE,
        body=UserRequest,
        returns=ProfileView,
        status=201,
        answer_headers=_UNCACHED,
        errors=(EmailTaken,),
        tags=TAGS,
    ),
    Endpoint(
        method="GET",
        path="/users/{user_id}",
        handler=read_user,
        summary="One account",
        permission=Permission.USERS_READ,
        path_params=UserPath,
        returns=ProfileView,
        answer_headers=_UNCACHED,
        errors=(NotFound,),
        tags=TAGS,
    ),
    Endpoint(
        method="PATCH",
        path="/users/{user_id}",
        handler=change_user,
        summary="Change name, role or tier of an account, ban it, or unlock it",
        description=(
            "Felt within a second: present access tokens of the account become void. A moderator "
            "bans, and only those with fewer rights than his. Nobody gives a role that has rights "
            "which he has not, and one active administrator always remains. `locked` false lets "
            "somebody log in again whose address too many wrong passwords have locked."
        ),
        permission=Permission.USERS_BAN,
        path_params=UserPath,
        body=UserPatch,
        body_media=(JSON, MERGE_PATCH),
        returns=ProfileView,
        answer_headers=_UNCACHED,
        errors=(NotFound, LastAdministrator),
        tags=TAGS,
    ),
    Endpoint(
        method="DELETE",
        path="/users/{user_id}",
        handler=delete_user,
        summary="Delete an account",
        description=(
            "Name and address are erased; sessions and API keys end. Tasks, webhooks and all else "
            "that is his follow in the background."
        ),
        permission=Permission.USERS_WRITE,
        path_params=UserPath,
        status=204,
        errors=(NotFound, LastAdministrator),
        tags=TAGS,
    ),
)
