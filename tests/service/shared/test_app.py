"""The application: nothing is served that no Endpoint declares and no document shows."""

from __future__ import annotations

from services.auth.routes import endpoints as auth_endpoints
from services.tasks.routes import ENDPOINTS as TASKS_ENDPOINTS
from shared.app import Service, create_app
from shared.endpoints import Endpoint
from shared.metrics import new_registry
from shared.settings import ProcessSettings
from shared.version import API_VERSIONS
from tests.service.shared.conftest import Running
from tests.service.shared.sample import ENDPOINTS

WITHOUT_ENDPOINT = {"/v1/openapi.json", "/v2/openapi.json", "/health/live", "/health/accepting"}
SERVICES: dict[str, tuple[Endpoint, ...]] = {
    "sample": ENDPOINTS,
    "auth": auth_endpoints(enumeration_safe=False),
    "tasks": TASKS_ENDPOINTS,
}


def routes(endpoints: tuple[Endpoint, ...]) -> set[tuple[str, str]]:
    """Method and path of everything that a service of these endpoints has registered."""
    service = Service(
        name="x", title="X", endpoints=endpoints, resources=(), registry=new_registry("x"),
        critical={}, optional={},
    )  # fmt: skip
    app = create_app(service, ProcessSettings())
    return {
        (route.method, route.resource.canonical)
        for route in app.router.routes()
        if route.resource is not None
    }


def declared(endpoints: tuple[Endpoint, ...]) -> set[tuple[str, str]]:
    pairs = {(endpoint.method, endpoint.path) for endpoint in endpoints}
    return pairs | {("HEAD", path) for method, path in pairs if method == "GET"}


async def test_every_route_is_an_endpoint() -> None:
    for name, endpoints in SERVICES.items():
        found = {
            (method, path)
            for method, path in routes(endpoints)
            if method != "*" and path not in WITHOUT_ENDPOINT
        }
        assert found == declared(endpoints), name


async def test_no_operation_is_declared_twice() -> None:
    for name, endpoints in SERVICES.items():
        pairs = [(endpoint.method, endpoint.path) for endpoint in endpoints]
        assert len(pairs) == len(set(pairs)), name


async def test_the_served_document_has_every_endpoint_of_its_version(running: Running) -> None:
    for version in API_VERSIONS:
        async with running.client.get(f"/{version}/openapi.json") as answer:
            assert answer.status == 200
            page = await answer.json()
        shown = {(method.upper(), path) for path, item in page["paths"].items() for method in item}
        assert shown == {
            (endpoint.method, endpoint.path)
            for endpoint in ENDPOINTS
            if endpoint.path.startswith(f"/{version}/")
        }
