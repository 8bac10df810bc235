"""The whole gateway, in order. Each stage is a module of its own; nothing else decides."""

from __future__ import annotations

from dataclasses import dataclass

from services.gateway.clients import Clients
from services.gateway.config import Access, Route
from services.gateway.exchange import Answer, Decision, Exchange, Forward, Headers
from services.gateway.headers import answer_headers, forwarded_headers
from services.gateway.identify import IdentityStage
from services.gateway.limits.stage import LimitStage
from services.gateway.pages import Page, Pages
from services.gateway.routes import split_version
from services.gateway.rules import Rules
from shared.errors import NotFound, Unauthorized
from shared.request_id import accept_request_id


@dataclass(slots=True)
class Gateway:
    """The stages with their state, and the rules in force."""

    rules: Rules
    clients: Clients
    identity: IdentityStage
    limits: LimitStage
    pages: Pages
    security: Headers


async def admit(exchange: Exchange, gateway: Gateway) -> Decision:
    """What becomes of a request. Raises ApiError for a refusal.

    It awaits nothing unless there is something to wait for: an unknown key, Redis, a page.
    """
    rules = gateway.rules
    name(exchange)
    gateway.clients.locate(exchange)
    split_version(exchange)
    preflight = rules.cors.welcome(exchange)
    if preflight is not None:
        rules.versions.courtesy(exchange)
        return dress(preflight, exchange, gateway.security)
    page = gateway.pages.find(exchange)
    if page is None:
        rules.routes.match(exchange)
    rules.versions.choose(exchange)
    route = exchange.route
    if route is not None:
        exchange.template = route.templates[exchange.api_version or ""]
    try:
        await gateway.identity.establish(exchange, access_to(page, route))
    except Unauthorized:
        await gateway.limits.refused(exchange, rules.policies, gateway.clients.key(exchange))
        raise
    # What no route matches is limited too: a scanner is a client like any other.
    if page is None or page.limited:
        await gateway.limits.spend(exchange, rules.policies, gateway.clients.key(exchange))
    if page is not None:
        return dress(await page.answer(exchange, rules), exchange, gateway.security)
    if route is None:
        raise NotFound
    return forward(exchange, route, gateway.clients)


def access_to(page: Page | None, route: Route | None) -> Access:
    """What is asked of the caller's identity."""
    if page is not None:
        return page.access
    return Access.NONE if route is None else route.access


def name(exchange: Exchange) -> None:
    """Gives the request its id, and puts it on the answer."""
    offered = exchange.fields.get(b"x-request-id")
    request_id = accept_request_id(None if offered is None else offered.decode("latin-1"))
    exchange.request_id = request_id
    exchange.answer_headers.append((b"x-request-id", request_id.encode("ascii")))
    accept = exchange.fields.get(b"accept")
    if accept is not None:
        exchange.accept = accept.decode("latin-1")


def dress(answer: Answer, exchange: Exchange, security: Headers) -> Answer:
    """A page brings its own fields; the stages' come on top, as on any answer."""
    return Answer(answer.status, answer_headers(exchange, security, answer.headers), answer.body)


def forward(exchange: Exchange, route: Route, clients: Clients) -> Forward:
    """The order to carry the request to the route's upstream."""
    version = exchange.api_version or ""
    target = route.target_prefixes[version] + exchange.service_path
    if exchange.query:
        target = f"{target}?{exchange.query}"
    return Forward(
        upstream=route.upstream,
        target=target.encode("ascii"),
        headers=forwarded_headers(exchange, route.access, clients),
        timeouts=route.timeouts,
        max_body=route.max_body,
        retries=route.retries,
    )
