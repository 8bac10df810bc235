"""The administration of accounts: from requests to use-cases, and who may call what."""

from __future__ import annotations

from urllib.parse import urlencode

from aiohttp import web

from services.auth.administration_schemas import (
    UserPageView,
    UserPatch,
    UserPath,
    UserQuery,
    UserRequest,
)
from services.auth.domain import EmailTaken, LastAdministrator
from services.auth.handlers import EVENTS, NO_STORE, PASSWORDS, STORE, session_id
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

PUBLIC_PREFIX = "/api"
TAGS = ("users",)
_UNCACHED = {"Cache-Control": "no-store"}


async def list_users(request: web.Request, given: Given) -> Reply:
    number, size = given.query["page"], given.query["page_size"]
    page = await administration.list_users(
        request.app[STORE],
        _caller(request),
        filters={name: given.query[name] for name in FILTERS if name in given.query},
        offset=(number - 1) * size,
        limit=size,
        now=utc_now(),
    )
    last = max(1, -(-page.total // size))
    shown = {
        "count": page.total,
        "next": _page_url(request, number + 1) if number < last else None,
        "previous": _page_url(request, min(number - 1, last)) if number > 1 else None,
        "results": page.users,
    }
    return Reply(shown, headers=NO_STORE)


async def create_user(request: web.Request, given: Given) -> Reply:
    app = request.app
    user = await administration.create_user(
        app[STORE], app[PASSWORDS], app[EVENTS], _caller(request), **given.body, now=utc_now()
    )
    location = f"{PUBLIC_PREFIX}{request.path}/{user.id}"
    return Reply(user, headers={**NO_STORE, "Location": location})


async def read_user(request: web.Request, given: Given) -> Reply:
    user = await administration.read_user(
        request.app[STORE], _caller(request), user_id=given.path["user_id"], now=utc_now()
    )
    return Reply(user, headers=NO_STORE)


async def change_user(request: web.Request, given: Given) -> Reply:
    user = await administration.change_user(
        request.app[STORE],
        request.app[EVENTS],
        _caller(request),
        user_id=given.path["user_id"],
        changes=given.body,
        now=utc_now(),
    )
    return Reply(user, headers=NO_STORE)


async def delete_user(request: web.Request, given: Given) -> Reply:
    await administration.delete_user(
        request.app[STORE],
        request.app[EVENTS],
        _caller(request),
        user_id=given.path["user_id"],
        now=utc_now(),
    )
    return Reply()


def _caller(request: web.Request) -> Caller:
    return Caller(session_id(request), request[PRINCIPAL].scope)


def _page_url(request: web.Request, number: int) -> str:
    query = [(name, value) for name, value in request.query.items() if name != "page"]
    return f"{PUBLIC_PREFIX}{request.path}?{urlencode([*query, ('page', str(number))])}"


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
        summary="Change name, role or tier of an account, or ban it",
        description=(
            "Felt within a second: present access tokens of the account become void. A moderator "
            "bans, and only those with fewer rights than his. Nobody gives a role that has rights "
            "which he has not, and one active administrator always remains."
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
        description="Name and address are erased; sessions and API keys end.",
        permission=Permission.USERS_WRITE,
        path_params=UserPath,
        status=204,
        errors=(NotFound, LastAdministrator),
        tags=TAGS,
    ),
)
