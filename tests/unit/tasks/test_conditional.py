"""Preconditions by entity tags."""

from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from services.tasks.handlers.conditional import http_date, if_match, none_match
from services.tasks.handlers.keys import STRICT

TAG = '"abc.1"'


@pytest.mark.parametrize(
    ("given", "holds"),
    [
        ([], True),
        (["*"], True),
        ([" * "], True),
        ([TAG], True),
        ([f'"x", {TAG}'], True),
        ([f'"x",{TAG},W/"y"'], True),
        (['"x"', TAG], True),
        ([f"W/{TAG}"], False),
        (['"abc.2"'], False),
        (["abc.1"], False),
        (['"abc.1'], False),
        ([""], False),
        ([f'W/"x", W/{TAG}'], False),
        (['"*"'], False),
    ],
)
def test_if_match(given: list[str], holds: bool) -> None:
    headers = CIMultiDict([("If-Match", value) for value in given])
    app = web.Application()
    app[STRICT] = False
    assert if_match(make_mocked_request("PUT", "/", headers, app=app))(TAG) is holds


@pytest.mark.parametrize(
    ("given", "holds"),
    [
        (None, True),
        ("*", False),
        (TAG, False),
        (f"W/{TAG}", False),
        (f'"x", {TAG}', False),
        ('"x"', True),
        ("abc.1", True),
        ("", True),
    ],
)
def test_if_none_match(given: str | None, holds: bool) -> None:
    assert none_match(given, TAG) is holds


@pytest.mark.parametrize(
    "moment",
    [
        datetime(1, 1, 1, tzinfo=UTC),
        datetime(2024, 2, 29, 23, 59, 59, 999_999, UTC),
        datetime(9999, 12, 31, tzinfo=UTC),
    ],
)
def test_dates_are_those_of_http(moment: datetime) -> None:
    assert http_date(moment) == format_datetime(moment.replace(microsecond=0), usegmt=True)
