"""Which version a request means, and what a version's dates make of it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import pytest
from prometheus_client import CollectorRegistry

from services.gateway.config import Brownout, Status, Version
from services.gateway.exchange import Exchange
from services.gateway.routes import split_version
from services.gateway.versions import Versions, phase_at
from shared.errors import ApiError, UnsupportedVersion, VersionConflict, VersionRetired
from shared.tally import Tally
from tests.unit.gateway.exchanges import exchange

JANUARY, MARCH = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC)
MAY, JUNE = datetime(2026, 5, 1, tzinfo=UTC), datetime(2026, 6, 1, tzinfo=UTC)


def versions(now: datetime = JANUARY, **changes: Version) -> Versions:
    known = {
        "v1": Version("v1", Status.STABLE),
        "v2": Version("v2", Status.STABLE),
        "v0": Version("v0", Status.RETIRED, successor="v1"),
        **changes,
    }
    return Versions(known, "v1", now=now.timestamp)


def asked(
    path: str, headers: Mapping[str, str | list[str]] | None = None, **more: str | list[str]
) -> Exchange:
    """A request whose path has been taken apart, as it has before this stage."""
    request = exchange(path, headers, **more)  # type: ignore[arg-type]
    split_version(request)
    return request


def vendor(version: str) -> str:
    return f"application/vnd.tasklane.{version}+json"


@pytest.mark.parametrize(
    ("path", "headers", "version"),
    [
        ("/api/v2/tasks", {}, "v2"),
        ("/api/tasks", {}, "v1"),
        ("/api/tasks", {"api_version": "v2"}, "v2"),
        ("/api/tasks", {"api_version": "2"}, "v2"),
        ("/api/tasks", {"api_version": " V2 "}, "v2"),
        ("/api/tasks", {"accept": vendor("v2")}, "v2"),
        ("/api/tasks", {"accept": f"text/html, {vendor('v2')};q=0.5"}, "v2"),
        ("/api/tasks", {"accept": vendor("V2").upper()}, "v2"),
        ("/api/tasks", {"accept": f"{vendor('v2')};q=0"}, "v1"),
        ("/api/tasks", {"accept": "application/vnd.tasklane+json"}, "v1"),
        ("/api/tasks", {"accept": "application/json"}, "v1"),
        ("/api/v2/tasks", {"api_version": "2", "accept": vendor("v2")}, "v2"),
        ("/api/tasks", {"api_version": ["v2", "2"]}, "v2"),
        ("/api/tasks", {"accept": ["text/html", vendor("v2")]}, "v2"),
    ],
)
def test_resolved(path: str, headers: dict[str, str | list[str]], version: str) -> None:
    request = asked(path, headers)
    versions().choose(request)
    assert request.api_version == version
    assert (b"api-version", version.encode()) in request.answer_headers
    assert request.vary == b"Accept, API-Version"


@pytest.mark.parametrize(
    ("path", "headers", "error"),
    [
        ("/api/v9/tasks", {}, UnsupportedVersion),
        ("/api/v01/tasks", {}, UnsupportedVersion),
        ("/api/V1/tasks", {}, UnsupportedVersion),
        ("/api/v1.0/tasks", {}, UnsupportedVersion),
        ("/api/tasks", {"api_version": "9"}, UnsupportedVersion),
        ("/api/tasks", {"api_version": ""}, UnsupportedVersion),
        ("/api/tasks", {"api_version": "latest"}, UnsupportedVersion),
        ("/api/tasks", {"api_version": "v1, v2"}, UnsupportedVersion),
        ("/api/tasks", {"api_version": "\xb2"}, UnsupportedVersion),
        ("/api/tasks", {"accept": vendor("v9")}, UnsupportedVersion),
        ("/api/tasks", {"accept": vendor("vx")}, UnsupportedVersion),
        ("/api/v1/tasks", {"api_version": "v9"}, UnsupportedVersion),
        ("/api/v1/tasks", {"api_version": "v2"}, VersionConflict),
        ("/api/v1/tasks", {"accept": vendor("v2")}, VersionConflict),
        ("/api/tasks", {"api_version": "1", "accept": vendor("v2")}, VersionConflict),
        ("/api/tasks", {"api_version": ["1", "2"]}, VersionConflict),
        ("/api/tasks", {"accept": f"{vendor('v1')}, {vendor('v2')}"}, VersionConflict),
        ("/api/v0/tasks", {}, VersionRetired),
        ("/api/tasks", {"api_version": "0"}, VersionRetired),
    ],
)
def test_refused(path: str, headers: dict[str, str | list[str]], error: type[ApiError]) -> None:
    chosen = versions()
    request = asked(path, headers)
    with pytest.raises(error) as caught:
        chosen.choose(request)
    chosen.courtesy(request)
    assert request.api_version is not None
    assert dict(request.answer_headers)[b"api-version"] == request.api_version.encode()
    if error is UnsupportedVersion:
        assert caught.value.details == {"supported": ["v1", "v2"]}


def test_a_retired_version_names_what_follows_it() -> None:
    request = asked("/api/v0/tasks")
    with pytest.raises(VersionRetired) as caught:
        versions().choose(request)
    assert caught.value.details == {"supported": ["v1", "v2"], "successor": "v1"}
    assert (b"link", b'</api/v1>; rel="successor-version"') in request.answer_headers


def test_paths_outside_the_api_have_no_version() -> None:
    request = asked("/health", api_version="nonsense")
    chosen = versions()
    chosen.choose(request)
    chosen.courtesy(request)
    assert request.api_version is None
    assert request.answer_headers == []


def test_who_calls_what_is_counted() -> None:
    seen = Tally("seen", "", ("version", "signal"), registry=CollectorRegistry())
    known = {"v1": Version("v1", Status.STABLE), "v2": Version("v2", Status.STABLE)}
    chosen = Versions(known, "v1", seen=seen.cell)
    for request in (
        asked("/api/v2/x"),
        asked("/api/x", api_version="2"),
        asked("/api/x", accept=vendor("v2")),
        asked("/api/x"),
    ):
        chosen.choose(request)
    told = [("v2", "url"), ("v2", "header"), ("v2", "accept"), ("v1", "default")]
    assert [seen.cell(one).count for one in told] == [1, 1, 1, 1]


LEAVING = Version(
    "v1",
    Status.STABLE,
    deprecated_at=MARCH,
    sunset_at=JUNE,
    successor="v2",
)


@pytest.mark.parametrize(
    ("version", "now", "status"),
    [
        (LEAVING, JANUARY, Status.STABLE),
        (LEAVING, MARCH, Status.DEPRECATED),
        (LEAVING, MAY, Status.DEPRECATED),
        (LEAVING, JUNE, Status.RETIRED),
        (Version("v1", Status.PREVIEW), JANUARY, Status.PREVIEW),
        (Version("v1", Status.DEPRECATED, deprecated_at=MARCH), JANUARY, Status.DEPRECATED),
        (Version("v1", Status.SUNSET, deprecated_at=MARCH, sunset_at=JUNE), MAY, Status.SUNSET),
        (Version("v1", Status.SUNSET, deprecated_at=MARCH, sunset_at=JUNE), JUNE, Status.RETIRED),
    ],
)
def test_dates_move_a_version_on(version: Version, now: datetime, status: Status) -> None:
    assert phase_at(version, now.timestamp()).status is status


def test_the_headers_of_a_version_on_its_way_out() -> None:
    request = asked("/api/v1/tasks")
    versions(MAY, v1=LEAVING).choose(request)
    found = dict(request.answer_headers)
    assert found[b"deprecation"] == b"@%d" % int(MARCH.timestamp())
    assert found[b"sunset"] == b"Mon, 01 Jun 2026 00:00:00 GMT"
    assert found[b"link"] == b'</api/v2>; rel="successor-version"'


def test_a_phase_is_looked_at_again_when_its_time_is_over() -> None:
    at = [MAY]
    chosen = Versions({"v1": LEAVING}, "v1", now=lambda: datetime.timestamp(at[0]))
    assert chosen.phase("v1").status is Status.DEPRECATED
    at[0] = JUNE
    assert chosen.phase("v1").status is Status.RETIRED


def test_a_brownout_answers_as_if_the_version_were_gone() -> None:
    window = Brownout(MAY, datetime(2026, 5, 1, 0, 30, tzinfo=UTC))
    version = Version("v1", Status.SUNSET, deprecated_at=MARCH, sunset_at=JUNE, brownouts=(window,))
    at = [datetime(2026, 4, 30, 23, 59, 59, tzinfo=UTC)]
    chosen = Versions(
        {"v1": version, "v2": Version("v2", Status.STABLE)},
        "v2",
        now=lambda: datetime.timestamp(at[0]),
    )
    chosen.choose(asked("/api/v1/tasks"))
    at[0] = datetime(2026, 5, 1, 0, 20, tzinfo=UTC)
    with pytest.raises(VersionRetired) as caught:
        chosen.choose(asked("/api/v1/tasks"))
    assert caught.value.headers == {"Retry-After": "600"}
    assert caught.value.details["brownout"] is True
    at[0] = window.end
    chosen.choose(asked("/api/v1/tasks"))
