"""Conditional requests (RFC 9110 section 13) and what a cache may know."""

from __future__ import annotations

import re
from datetime import datetime

from aiohttp import web

from services.tasks.domain import Task
from services.tasks.handlers.keys import STRICT
from services.tasks.usecases.tasks import Expectation, whatever
from shared.errors import PreconditionRequired

_ENTITY_TAG = re.compile(r'(W/)?("[^"]*")')
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = (
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
)  # fmt: skip


def if_match(request: web.Request) -> Expectation:
    """What If-Match asks for: `*` or one of its strong tags; a weak one never matches.

    If-None-Match asks of a change that the task has none of its tags (RFC 9110 section 13.1.2).
    Raises PreconditionRequired without one when the service is strict (RFC 6585 section 3).
    """
    given = request.headers.getall("If-Match", None)
    if given is None:
        if request.app[STRICT]:
            raise PreconditionRequired(details={"if-match": ["Must be the etag of the task."]})
        unwanted = request.headers.get("If-None-Match")
        return whatever if unwanted is None else lambda etag: none_match(unwanted, etag)
    text = ", ".join(given)
    if text.strip() == "*":
        return whatever
    tags = {tag for weak, tag in _ENTITY_TAG.findall(text) if not weak}
    return tags.__contains__


def none_match(header: str | None, etag: str) -> bool:
    """Whether If-None-Match holds, so that the answer has to be sent. Weak tags count here."""
    if header is None:
        return True
    if header.strip() == "*":
        return False
    return all(tag != etag for _weak, tag in _ENTITY_TAG.findall(header))


def validators(task: Task) -> dict[str, str]:
    """The headers by which a client can ask again cheaply."""
    return {
        "ETag": task.etag,
        "Last-Modified": http_date(task.updated_at),
        "Cache-Control": "private, no-cache",
    }


def http_date(moment: datetime) -> str:
    """A time in UTC as RFC 9110 section 5.6.7 has it, whatever the locale."""
    return (
        f"{_DAYS[moment.weekday()]}, {moment.day:02} {_MONTHS[moment.month - 1]} "
        f"{moment.year:04} {moment.hour:02}:{moment.minute:02}:{moment.second:02} GMT"
    )
