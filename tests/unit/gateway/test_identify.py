"""One credential at most, and a principal where it is good."""

from __future__ import annotations

from uuid import uuid4

import pytest
from prometheus_client import CollectorRegistry

from services.gateway.config import Access
from services.gateway.identify import IdentityStage
from services.gateway.identity.revoked import Revocation, Revoked
from services.gateway.identity.sessions import SessionEnded
from shared.cookies import Cookies
from shared.errors import ApiError, BadRequest, InvalidToken, ServiceUnavailable, Unauthorized
from tests import tokens
from tests.unit.gateway.exchanges import exchange


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def stage(registry: CollectorRegistry) -> IdentityStage:
    return IdentityStage(
        tokens.verifier(), Revoked(followed=False), registry, cookies=Cookies(production=False)
    )


async def test_a_revoked_token_is_refused_although_it_was_verified_before(
    registry: CollectorRegistry,
) -> None:
    revoked = Revoked(followed=True)
    stage = IdentityStage(tokens.verifier(), revoked, registry, cookies=Cookies(production=False))
    session = uuid4()
    request = exchange(authorization=f"Bearer {tokens.token(sid=str(session))}")
    with pytest.raises(ServiceUnavailable):
        await stage.establish(request, Access.REQUIRED)
    revoked.take([])
    await stage.establish(request, Access.REQUIRED)
    revoked.take([Revocation(session, None, 0.0)])
    with pytest.raises(InvalidToken):
        await stage.establish(request, Access.OPTIONAL)


@pytest.mark.parametrize("access", [Access.REQUIRED, Access.OPTIONAL])
async def test_a_good_token_makes_a_principal(stage: IdentityStage, access: Access) -> None:
    request = exchange(authorization=f"Bearer {tokens.token()}")
    await stage.establish(request, access)
    assert request.principal is not None
    assert request.principal.user_id == tokens.USER


@pytest.mark.parametrize(
    ("access", "headers", "error"),
    [
        (Access.REQUIRED, {}, Unauthorized),
        (Access.REQUIRED, {"authorization": ""}, InvalidToken),
        (Access.REQUIRED, {"authorization": "Basic dTpw"}, InvalidToken),
        (Access.REQUIRED, {"authorization": "Bearer"}, InvalidToken),
        (Access.REQUIRED, {"authorization": "Bearer junk"}, InvalidToken),
        (Access.OPTIONAL, {"authorization": "Bearer junk"}, InvalidToken),
        (Access.OPTIONAL, {"authorization": "Bearer \xff.\xff.\xff"}, InvalidToken),
        (Access.REQUIRED, {"x_api_key": "k"}, Unauthorized),
        (Access.OPTIONAL, {"x_api_key": "k"}, Unauthorized),
        (Access.REQUIRED, {"cookie": "session=s"}, SessionEnded),
        (Access.REQUIRED, {"authorization": ["Bearer a", "Bearer b"]}, BadRequest),
        (Access.OPTIONAL, {"authorization": "Bearer a", "x_api_key": "k"}, BadRequest),
        (Access.OPTIONAL, {"authorization": "Bearer a", "cookie": "session=s"}, BadRequest),
        (Access.OPTIONAL, {"x_api_key": "k", "cookie": "a=1; session=s"}, BadRequest),
        (Access.OPTIONAL, {"cookie": "session=s; session=t"}, BadRequest),
        (Access.OPTIONAL, {"cookie": ["session=s", "session=s"]}, BadRequest),
        (Access.OPTIONAL, {"cookie": "session=s"}, SessionEnded),
        (Access.REQUIRED, {"cookie": "__Host-session=s"}, Unauthorized),
        (Access.OPTIONAL, {"x_api_key": ["k", "k"]}, BadRequest),
    ],
)
async def test_refused(
    stage: IdentityStage,
    access: Access,
    headers: dict[str, str | list[str]],
    error: type[ApiError],
) -> None:
    with pytest.raises(ApiError) as caught:
        await stage.establish(exchange(headers=headers), access)
    assert type(caught.value) is error
    if caught.value.status == 401:
        assert caught.value.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize("headers", [{}, {"cookie": "__Host-session=s"}, {"cookie": "theme=dark"}])
async def test_anonymous_where_identity_is_optional(
    stage: IdentityStage, headers: dict[str, str]
) -> None:
    request = exchange(headers=headers)
    await stage.establish(request, Access.OPTIONAL)
    assert request.principal is None


@pytest.mark.parametrize("path", ["/auth/login", "/auth/session-login"])
@pytest.mark.parametrize("given", ["Bearer junk", "Bearer", "Basic dTpw"])
async def test_a_token_that_has_ended_is_no_obstacle_at_a_login(
    stage: IdentityStage, path: str, given: str
) -> None:
    request = exchange(headers={"authorization": given, "accept": "*/*"})
    request.service_path = path
    await stage.establish(request, Access.OPTIONAL)
    assert request.principal is None
    assert request.header_values(b"authorization") == []
    assert request.header(b"authorization") is None
    assert request.header(b"accept") == b"*/*"


@pytest.mark.parametrize(
    "headers",
    [{"authorization": "Bearer junk"}, {"authorization": ["a", "b"], "x_api_key": "k"}],
)
async def test_credentials_are_not_looked_at_where_there_is_no_identity(
    stage: IdentityStage, headers: dict[str, str | list[str]]
) -> None:
    request = exchange(headers=headers)
    await stage.establish(request, Access.NONE)
    assert request.principal is None


async def test_a_token_seen_before_takes_no_task(
    stage: IdentityStage, registry: CollectorRegistry
) -> None:
    request = exchange(authorization=f"Bearer {tokens.token()}")
    await stage.establish(request, Access.REQUIRED)
    coroutine = stage.establish(request, Access.REQUIRED)
    with pytest.raises(StopIteration):
        coroutine.send(None)
    for result in ("hit", "miss"):
        found = registry.get_sample_value("token_cache_lookups_total", {"result": result})
        assert found == 1
