"""A request that is repeated means what it meant, for as long as nothing has changed."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
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
from services.gateway.downstream.head import NO_FIELDS, Fields
from services.gateway.downstream.head_reader import HeadReader
from services.gateway.downstream.limits import ServerLimits
from services.gateway.exchange import Answer, Decision, Exchange, Forward
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

    def __init__(self, peer: str = "192.0.2.7") -> None:
        self.peer = peer
        self.reader = HeadReader(ServerLimits())
        self.fields: Fields = NO_FIELDS

    def take(self, path: str = "/api/v2/tasks", method: str = "GET", **more: str) -> Exchange:
        fields = {"Host": "a", "Authorization": f"Bearer {TOKEN}", **more}
        lines = [f"{method} {path} HTTP/1.1", *(f"{n}: {v}" for n, v in fields.items())]
        data = "\r\n".join([*lines, "", ""]).encode()
        again = self.reader.again(data, self.fields)
        head = again or self.reader.read(data, self.fields)
        self.fields = head.fields
        return head.exchange(self.peer)


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


async def test_another_address_is_judged_by_itself(gateway: Gateway) -> None:
    """Connections share what is known of header lines, but who sends them is not in them."""
    first, other = Connection(), Connection(peer="192.0.2.9")
    await known(first, gateway)
    other.reader = first.reader
    for path in ("/api/v2/tasks", "/api/v2/tasks/7"):
        assert readmit(other.take(path), gateway) is None
    neighbour = Connection()
    neighbour.reader = first.reader
    assert readmit(neighbour.take("/api/v2/tasks/8"), gateway) is not None


async def test_the_same_head_from_another_address_is_judged_by_itself(gateway: Gateway) -> None:
    """All connections share what is known of a head, but who sends it is not in it."""
    ours, theirs = Connection(), Connection(peer="192.0.2.9")
    theirs.reader = ours.reader
    for connection in (ours, theirs, ours, theirs):
        connection.take()
        connection.take(Accept="x")
    exchange = ours.take()
    await admit(exchange, gateway)
    assert exchange.repeat is not None
    assert readmit(ours.take(), gateway) is not None
    stranger = theirs.take()
    assert stranger.repeat is exchange.repeat
    assert readmit(stranger, gateway) is None
    await admit(stranger, gateway)
    assert stranger.client_address == "192.0.2.9"
    back = ours.take()
    assert readmit(back, gateway) is not None
    assert back.client_address == "192.0.2.7"


PATHS = [
    "/api/v2/tasks",
    "/api/v2/tasks/7",
    "/api/v2/tasks/8?x=%20",
    "/api/v2/tasks/7/",
    "/api/v1/tasks/7",
    "/api/tasks/7",
    "/api/v3/tasks",
    "/api/v2/tasks/import",
    "/api/v2/tasks/export",
    "/api/v2/tasks/export/x",
    "/api/v2/tasksx",
    "/api/v2/auth/session-login",
    "/api/v2/auth/profile",
    "/api/v2/users/1",
    "/api/v2/internal/exchange",
    "/internal/exchange",
    "/tasks/7",
    "/api",
    "/api/v2",
    "/.well-known/jwks.json",
    "/api/errors",
    "/nothing",
]
LOGIN = "/api/v2/auth/session-login"  # where a token that has ended is no obstacle
LIMITED = """
[limits.tiers]
default = ["1000000/minute"]
anonymous = ["2000000/minute"]
[[limits.routes]]
match = "GET /tasks/7"
policies = ["70000/minute"]
[[limits.routes]]
match = "* /users/*"
policies = ["90000/hour"]
[cors]
allow_origins = ["http://page"]
"""
HEADERS: dict[str, dict[str, str]] = {
    "plain": {},
    "another version": {"API-Version": "1"},
    "vendor type": {"Accept": "application/vnd.tasklane.v2+json"},
    "page": {"Origin": "http://page"},
    "cookie": {"Cookie": "session=x"},
    "two credentials": {"X-API-Key": "x"},
    "bad token": {"Authorization": "Bearer x"},
    "spoofed": {"X-User-Id": "1", "X-Forwarded-For": "198.51.100.7"},
    "compression": {"Accept-Encoding": "gzip", "If-None-Match": '"x-gzip"'},
}


@pytest.fixture
def limited(gateway: Gateway, tmp_path: Path) -> Gateway:
    """With policies for some paths, which no walk over all of them reaches."""
    path = tmp_path / "gateway.toml"
    path.write_text(LIMITED)
    gateway.rules = make_rules(read_config(path, {}), lambda _: Cell())
    return gateway


async def outcome(
    connection: Connection, gateway: Gateway, path: str, method: str, **more: str
) -> object:
    """All that the stages say of a request, whichever way they come to it."""
    exchange = connection.take(path, method, **more)
    decision: object
    try:
        decision = readmit(exchange, gateway) or await admit(exchange, gateway)
    except ApiError as error:
        decision = (type(error), error.text)
    if isinstance(decision, Answer):
        decision = (decision.status, decision.body)
    counted = re.sub(
        rb"(x-request-id|x-ratelimit-remaining|x-ratelimit-reset|ratelimit): .*",
        b"",
        exchange.lines,
    )
    return (
        decision, counted, exchange.client_address, exchange.api_version, exchange.url_version,
        exchange.service_path, exchange.route, exchange.template, exchange.principal,
        sorted(exchange.answer_headers), exchange.vary, exchange.authorization,
    )  # fmt: skip


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS"])
@pytest.mark.parametrize("headers", HEADERS)
async def test_what_is_known_of_one_path_changes_nothing_for_another(
    headers: str, method: str, limited: Gateway
) -> None:
    """Every path on a connection that knows another one well, as on one that knows nothing."""
    more = HEADERS[headers]
    expected = {path: await outcome(Connection(), limited, path, method, **more) for path in PATHS}
    for before in ("/api/v2/tasks/9", "/api/v2/users/2", "/api/v2/auth/profile", LOGIN):
        connection = Connection()
        for _ in range(2):
            await outcome(connection, limited, before, method, **more)
        for path in PATHS:
            assert await outcome(connection, limited, path, method, **more) == expected[path]


async def test_few_kinds_are_known_of_a_family(gateway: Gateway) -> None:
    connection = Connection()
    for version in ("v1", "v2"):
        for path in ("tasks", "users", "webhooks", "deliveries", "audit", "auth/profile"):
            for method in ("GET", "HEAD", "DELETE"):
                await admit(connection.take(f"/api/{version}/{path}", method), gateway)
                family = connection.fields.family
                assert family is None or len(family.judgements) <= 4


async def test_one_request_of_many_is_like_the_others(gateway: Gateway) -> None:
    connection = Connection()
    for number in range(2):
        await admit(connection.take(f"/api/v2/tasks/{number}"), gateway)
    for number in range(2, 30):
        order = readmit(connection.take(f"/api/v2/tasks/{number}?a={number}"), gateway)
        assert isinstance(order, Forward)
        assert order.target == f"/v2/tasks/{number}?a={number}".encode()


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


async def test_it_ends_when_a_key_is_withdrawn(gateway: Gateway) -> None:
    connection = Connection()
    await known(connection, gateway)
    gateway.forget_judgements()
    assert readmit(connection.take(), gateway) is None
    assert readmit(connection.take("/api/v2/tasks/7"), gateway) is None
    await admit(connection.take(), gateway)
    assert readmit(connection.take(), gateway) is not None


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


def test_what_another_reader_has_read_is_read_again() -> None:
    connection = Connection()
    for _ in range(3):
        connection.take()
    before = connection.take().repeat
    assert connection.take().repeat is before
    # A reload may have set other bounds.
    connection.reader = HeadReader(ServerLimits())
    assert connection.take().repeat is not before
