"""The audit log over HTTP: who may read it, by which filters, and what an event looks like."""

from __future__ import annotations

from typing import Any

import orjson
from aiohttp import web
from marshmallow import fields, validate

from services.auth.administration import caller_of
from services.auth.administration_schemas import UserPath
from services.auth.audit.event import AuditEvent, AuditRecord, Outcome
from services.auth.handlers import NO_STORE, STORE
from services.auth.pages import numbered_page
from services.auth.repository.audit import FILTERS, MOST_COUNTED
from services.auth.usecases import audit_reading
from services.auth.usecases.audit_reading import AuditPage
from shared.answers import Reply
from shared.clock import utc_now
from shared.endpoints import Endpoint, Given
from shared.fields import Timestamp, Uuid, WholeParameter
from shared.identity import Permission
from shared.schemas import StrictSchema, View

TAGS = ("audit",)
_UNCACHED = {"Cache-Control": "no-store"}
_SUBJECT_SHOWN = 12  # hexadecimal digits: enough to follow one attack, useless as a look-up
_ABOUT = (
    f"The latest first. `count`, and the links with it, end at {MOST_COUNTED} events: narrow by "
    "`since` and `until` to see more. With `until` the pages stay the same while events are added."
)


class OwnAuditQuery(StrictSchema):
    page = WholeParameter(minimum=1, maximum=MOST_COUNTED, load_default=1)
    page_size = WholeParameter(minimum=1, maximum=100, load_default=20)
    event = fields.String(validate=validate.OneOf([one.value for one in AuditEvent]))
    outcome = fields.String(validate=validate.OneOf([one.value for one in Outcome]))
    since = Timestamp(metadata={"description": "At this time or later."})
    until = Timestamp(metadata={"description": "Before this time."})


class AuditQuery(OwnAuditQuery):
    user_id = Uuid(metadata={"description": "Whose account it is about."})
    actor_id = Uuid(metadata={"description": "Who acted."})


class AuditEventView(View):
    """One event. `sequence` is its place in the chain, which it gets within a second."""

    id = Uuid(required=True)
    sequence = fields.Integer(required=True, allow_none=True)
    at = Timestamp(required=True)
    event = fields.String(required=True, validate=validate.OneOf([one.value for one in AuditEvent]))
    outcome = fields.String(required=True, validate=validate.OneOf([one.value for one in Outcome]))
    user_id = Uuid(required=True, allow_none=True)
    actor_id = Uuid(required=True, allow_none=True)
    subject = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "Stands for the address that was tried."},
    )
    address = fields.String(required=True, allow_none=True)
    device = fields.String(required=True, allow_none=True)
    request_id = fields.String(required=True)
    details = fields.Dict(keys=fields.String(), required=True)


class AuditPageView(View):
    count = fields.Integer(required=True)
    next = fields.String(required=True, allow_none=True)
    previous = fields.String(required=True, allow_none=True)
    results = fields.List(fields.Nested(AuditEventView), required=True)


async def read_audit(request: web.Request, given: Given) -> Reply:
    page = await audit_reading.read_audit(
        request.app[STORE], caller_of(request), **_narrowed(given), now=utc_now()
    )
    return _reply(request, given, page)


async def read_user_audit(request: web.Request, given: Given) -> Reply:
    page = await audit_reading.read_own_audit(
        request.app[STORE],
        caller_of(request),
        user_id=given.path["user_id"],
        **_narrowed(given),
        now=utc_now(),
    )
    return _reply(request, given, page)


def _narrowed(given: Given) -> dict[str, Any]:
    query = given.query
    return {
        "filters": {name: query[name] for name in FILTERS if name in query},
        "since": query.get("since"),
        "until": query.get("until"),
        "offset": (query["page"] - 1) * query["page_size"],
        "limit": query["page_size"],
    }


def _reply(request: web.Request, given: Given, page: AuditPage) -> Reply:
    results = [_shown(one) for one in page.events]
    return Reply(numbered_page(request, given, page.total, results), headers=NO_STORE)


def _shown(event: AuditRecord) -> dict[str, Any]:
    return {
        "id": event.id,
        "sequence": event.sequence,
        "at": event.at,
        "event": event.event,
        "outcome": event.outcome,
        "user_id": event.user_id,
        "actor_id": event.actor_id,
        "subject": None if event.subject is None else event.subject.hex()[:_SUBJECT_SHOWN],
        "address": event.address,
        "device": event.device,
        "request_id": event.request_id,
        "details": orjson.loads(event.details),
    }


ENDPOINTS = (
    Endpoint(
        method="GET",
        path="/audit",
        handler=read_audit,
        summary="What happened in the accounts of all",
        description=_ABOUT,
        permission=Permission.AUDIT_READ,
        query=AuditQuery,
        returns=AuditPageView,
        answer_headers=_UNCACHED,
        tags=TAGS,
    ),
    Endpoint(
        method="GET",
        path="/users/{user_id}/audit",
        handler=read_user_audit,
        summary="What happened in one account",
        description=f"For its owner and for administrators. {_ABOUT}",
        permission=Permission.PROFILE,
        path_params=UserPath,
        query=OwnAuditQuery,
        returns=AuditPageView,
        answer_headers=_UNCACHED,
        tags=TAGS,
    ),
)
