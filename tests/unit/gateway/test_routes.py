"""Where paths lead, on segment borders and nowhere else."""

from __future__ import annotations

import pytest

from services.gateway.config import Access, Route
from services.gateway.exchange import Timeouts
from services.gateway.routes import RouteTable, is_api, split_version
from tests.unit.gateway.exchanges import exchange


def route(prefix: str, *, versioned: bool = True) -> Route:
    return Route(
        prefix=prefix,
        upstream="tasks",
        access=Access.REQUIRED,
        timeouts=Timeouts(),
        max_body=1,
        retries=1,
        versioned=versioned,
        raw_errors=False,
        templates={},
        target_prefixes={},
    )


TABLE = RouteTable(
    [
        route("/tasks"),
        route("/tasks/import"),
        route("/users"),
        route("/.well-known/jwks.json", versioned=False),
        route("/internal"),
    ]
)


@pytest.mark.parametrize(
    ("path", "prefix", "service_path"),
    [
        ("/api/v1/tasks", "/tasks", "/tasks"),
        ("/api/v2/tasks/7", "/tasks", "/tasks/7"),
        ("/api/tasks/7", "/tasks", "/tasks/7"),
        ("/api/v1/tasks/", "/tasks", "/tasks/"),
        ("/api/v1/tasks/import", "/tasks/import", "/tasks/import"),
        ("/api/v1/tasks/import/x", "/tasks/import", "/tasks/import/x"),
        ("/api/v1/tasks/important", "/tasks", "/tasks/important"),
        ("/.well-known/jwks.json", "/.well-known/jwks.json", "/.well-known/jwks.json"),
        ("/api/v1/tasksx", None, "/tasksx"),
        ("/api/v1/task", None, "/task"),
        ("/api/v1/Tasks", None, "/Tasks"),
        ("/api/v1", None, "/"),
        ("/api", None, "/"),
        ("/api/", None, "/"),
        ("/apix/v1/tasks", None, "/apix/v1/tasks"),
        ("/tasks", None, "/tasks"),
        ("/v1/tasks", None, "/v1/tasks"),
        ("/api/.well-known/jwks.json", None, "/.well-known/jwks.json"),
        ("/api/v1/internal", None, "/internal"),
        ("/api/v1/internal/exchange", None, "/internal/exchange"),
        ("/api/v1/INTERNAL/exchange", None, "/INTERNAL/exchange"),
        ("/internal/exchange", None, "/internal/exchange"),
    ],
)
def test_match(path: str, prefix: str | None, service_path: str) -> None:
    request = exchange(path)
    split_version(request)
    TABLE.match(request)
    assert (request.route.prefix if request.route else None) == prefix
    assert request.service_path == service_path


def test_a_route_to_everything_leaves_internal_paths_out() -> None:
    table = RouteTable([route("/")])
    for path, found in (
        ("/api/v1/any/thing", True),
        ("/api/v1", True),
        ("/api/v1/internally", True),
        ("/api/v1/internal", False),
        ("/api/v1/internal/x", False),
    ):
        request = exchange(path)
        split_version(request)
        table.match(request)
        assert (request.route is not None) is found, path


@pytest.mark.parametrize(
    ("path", "claim"),
    [
        ("/api/v1/tasks", "v1"),
        ("/api/v99", "v99"),
        ("/api/V1/tasks", "V1"),
        ("/api/v1.5/tasks", "v1.5"),
        ("/api/versions", None),
        ("/api/v", None),
        ("/api/tasks/v1", None),
        ("/api", None),
    ],
)
def test_the_version_in_a_path(path: str, claim: str | None) -> None:
    request = exchange(path)
    split_version(request)
    assert is_api(path)
    assert request.url_version == claim
