"""A request that is repeated means what it meant, for as long as nothing has changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast
from uuid import UUID, uuid4

import pytest
from aiohttp import ClientSession
from prometheus_client import CollectorRegistry

from services.gateway import pipeline
from services.gateway.cache.stage import CacheStage
from services.gateway.clients import Clients
from services.gateway.config_file import SHIPPED, read_config
from services.gateway.csrf import CsrfStage
from services.gateway.downstream.head import NO_FIELDS, Fields, HeadReader
from services.gateway.downstream.limits import ServerLimits
from services.gateway.exchange import Decision, Exchange, Forward
from services.gateway.headers import security_headers
from services.gateway.identify import IdentityStage
from services.gateway.identity.revoked import Revocation, Revoked
from services.gateway.limits.memory import MemoryLimiter
from services.gateway.limits.stage import LimiterMetrics, LimitStage
from services.gateway.pages import Pages
from services.gateway.pages.sources import Sources
from services.gateway.pipeline import Gateway, admit
from services.gateway.rules import Rules, make_rules
from shared.cookies import Cookies
from shared.errors import ApiError, InvalidToken, RateLimited
from shared.tally import Cell, Tally
from tests import tokens

SESSION = uuid4()


class Connection:
    """Reads heads as a client's connection does."""

    def __init__(self) -> None:
        self.reader = HeadReader(ServerLimits())
        self.fields: Fields = NO_FIELDS

    def take(self, path: str = "/api/v2/tasks", method: str = "GET", **more: str) -> Exchange:
        fields = {"Host": "a", "Authorization": f"Bearer {TOKEN}", **more}
        lines = [f"{method} {path} HTTP/1.1", *(f"{n}: {v}" for n, v in fields.items())]
        data = "\r\n".join([*lines, "", ""]).encode()
        again = self.reader.again(data, self.fields)
        head = again or self.reader.read(data, self.fields)
        self.fields = head.fields
        return head.exchange("192.0.2.7")


TOKEN = tokens.token(sid=str(SESSION))


def rules(seen: Callable[[tuple[str, str]], Cell] = lambda _: Cell()) -> Rules:
    return make_rules(read_config(SHIPPED, {}), seen)


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def revoked() -> Revoked:
    return Revoked(followed=False)


@pytest.fixture
def gateway(registry: CollectorRegistry, revoked: Revoked) -> Gateway:
    limits = LimitStage(MemoryLimiter(), None, LimiterMetrics(registry))
    clients, cookies = Clients(()), Cookies(production=True)
    return Gateway(
        rules=rules(),
        clients=clients,
        identity=IdentityStage(tokens.verifier(), revoked, registry, cookies=cookies),
        csrf=CsrfStage(clients, registry, production=True),
        limits=limits,
        cache=CacheStage(registry),
        pages=Pages(Sources(cast("ClientSession", None)), limits, clients, cookies),
        security=security_headers(production=True),
    )


def readmit(exchange: Exchange, gateway: Gateway) -> Decision | ApiError | None:
    """What becomes of a repetition; None for what is none."""
    decisions: list[Decision | ApiError] = []
    if not pipeline.readmit(exchange, gateway, decisions.append):
        assert not decisions
        return None
    (decision,) = decisions
    return decision


async def known(connection: Connection, gateway: Gateway) -> None:
    """Brings the usual request so far that it is known."""
    for _ in range(3):
        await admit(connection.take(), gateway)
    assert readmit(connection.take(), gateway) is not None


async def test_a_repetition_gets_the_same_order_and_an_id_of_its_own(gateway: Gateway) -> None:
    connection = Connection()
    await known(connection, gateway)
    one, other = connection.take(), connection.take()
    first, second = await admit(one, gateway), readmit(other, gateway)
    assert isinstance(first, Forward)
    assert isinstance(second, Forward)
    assert one.request_id != other.request_id
    assert first is second
    assert (first.target, first.upstream) == (b"/v2/tasks", "tasks")
    for exchange in (one, other):
        assert exchange.id_line == f"x-request-id: {exchange.request_id}\r\n".encode()
    for name in ("principal", "api_version", "template", "service_path", "client_address", "route"):
        assert getattr(one, name) == getattr(other, name)


@pytest.mark.parametrize(
    "other",
    [
        {"path": "/api/v1/tasks"},
        {"path": "/api/v2/tasks?a=b"},
        {"path": "/api/v2/tasks/"},
        {"method": "DELETE"},
        {"Accept": "x"},
        {"X-Request-ID": "mine"},
        {"Authorization": "Bearer x"},
        {"authorization": f"Bearer {TOKEN}"},
        {"Content-Length": "1"},
        {"Connection": "close"},
    ],
    ids=",".join,
)
async def test_what_differs_in_a_byte_is_judged_anew(
    other: dict[str, str], gateway: Gateway
) -> None:
    connection = Connection()
    await known(connection, gateway)
    assert readmit(connection.take(**other), gateway) is None


async def test_two_lines_with_the_same_fields_keep_apart(gateway: Gateway) -> None:
    connection = Connection()
    paths = ["/api/v1/tasks", "/api/v2/tasks", "/api/v2/tasks/7?x"]
    for path in paths * 4:
        await admit(connection.take(path), gateway)
    orders = [readmit(connection.take(path), gateway) for path in paths]
    targets = [order.target for order in orders if isinstance(order, Forward)]
    assert targets == [b"/v1/tasks", b"/v2/tasks", b"/v2/tasks/7?x"]


async def test_what_comes_with_a_cookie_is_judged_each_time(gateway: Gateway) -> None:
    connection = Connection()
    for _ in range(3):
        await admit(connection.take(Cookie="theme=dark"), gateway)
    assert readmit(connection.take(Cookie="theme=dark"), gateway) is None


async def test_another_connection_knows_nothing_of_it(gateway: Gateway) -> None:
    await known(Connection(), gateway)
    assert readmit(Connection().take(), gateway) is None


@pytest.mark.parametrize(
    "revocation", [Revocation(SESSION, None, 0.0), Revocation(tokens.USER, 1, 0.0)], ids=["s", "u"]
)
async def test_a_revocation_ends_it(
    revocation: Revocation, gateway: Gateway, revoked: Revoked
) -> None:
    connection = Connection()
    await known(connection, gateway)
    revoked.learn([Revocation(UUID(int=7), None, 0.0)])
    assert readmit(connection.take(), gateway) is not None
    revoked.learn([revocation])
    assert readmit(connection.take(), gateway) is None
    with pytest.raises(InvalidToken):
        await admit(connection.take(), gateway)


async def test_it_ends_with_the_token_and_with_the_rules(gateway: Gateway) -> None:
    connection = Connection()
    await known(connection, gateway)
    repeat = connection.take().repeat
    assert repeat is not None
    assert repeat.judgement.until == repeat.judgement.principal.expires_at
    repeat.judgement.until = 0.0
    assert readmit(connection.take(), gateway) is None
    await known(connection, gateway)
    gateway.rules = rules()
    assert readmit(connection.take(), gateway) is None


async def test_limits_count_repetitions(gateway: Gateway) -> None:
    connection = Connection()
    await known(connection, gateway)
    left = 100_000
    while left:
        exchange = connection.take()
        assert readmit(exchange, gateway) is not None
        told = int(exchange.lines.split(b"x-ratelimit-remaining: ")[1].split(b"\r\n")[0])
        assert told == left - 1 or left == 100_000
        left = told
    with pytest.raises(RateLimited):
        readmit(connection.take(), gateway)
    with pytest.raises(RateLimited):
        await admit(connection.take(), gateway)


async def test_repetitions_are_counted_like_the_first(
    gateway: Gateway, registry: CollectorRegistry
) -> None:
    seen = Tally("seen", "", ("version", "signal"), registry=registry)
    gateway.rules = rules(seen.cell)
    connection = Connection()
    await known(connection, gateway)
    assert seen.cell(("v2", "url")).count == 4
    hits = registry.get_sample_value("token_cache_lookups_total", {"result": "hit"})
    misses = registry.get_sample_value("token_cache_lookups_total", {"result": "miss"})
    assert (hits, misses) == (3, 1)


def test_a_client_cannot_make_a_connection_remember_ever_more() -> None:
    connection = Connection()
    for number in range(1_000):
        connection.take(f"/api/v2/tasks/{number}")
        connection.take("/api/v2/tasks?" + "x" * number)
    assert len(connection.fields.heads) <= 8
    assert max(map(len, connection.fields.heads)) <= 256


def test_what_another_reader_has_read_is_read_again() -> None:
    connection = Connection()
    for _ in range(3):
        connection.take()
    before = connection.take().repeat
    assert connection.take().repeat is before
    # A reload may have set other bounds.
    connection.reader = HeadReader(ServerLimits())
    assert connection.take().repeat is not before
