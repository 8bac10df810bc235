"""The whole gateway, in order. Each stage is a module of its own; nothing else decides."""

from __future__ import annotations

from dataclasses import dataclass, replace

from services.gateway import compress
from services.gateway.cache.stage import CacheStage
from services.gateway.clients import Clients
from services.gateway.config import Access, Route
from services.gateway.csrf import CsrfStage
from services.gateway.exchange import Answer, Decide, Decision, Exchange, Forward, Headers
from services.gateway.framing import rendered
from services.gateway.headers import answer_headers, forwarded_headers
from services.gateway.identify import IdentityStage
from services.gateway.judgement import (
    ALIKE,
    judgement_of,
    recall,
    recall_like,
    remember,
    remember_for,
)
from services.gateway.limits.stage import Charge, LimitStage
from services.gateway.pages import Page, Pages
from services.gateway.routes import split_version
from services.gateway.rules import Rules
from shared.errors import NotFound, Unauthorized
from shared.request_id import accept_request_id, new_request_id


@dataclass(slots=True)
class Gateway:
    """The stages with their state, and the rules in force."""

    rules: Rules
    clients: Clients
    identity: IdentityStage
    csrf: CsrfStage
    limits: LimitStage
    cache: CacheStage
    pages: Pages
    security: Headers

    def forget_judgements(self) -> None:
        """Makes void what is known of requests: a judgement holds only under its very rules."""
        self.rules = replace(self.rules)


async def admit(exchange: Exchange, gateway: Gateway) -> Decision:
    """What becomes of a request. Raises ApiError for a refusal.

    It awaits nothing unless there is something to wait for: an unknown key, Redis, a page, the same
    request of somebody else.
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
    gateway.csrf.check(exchange, rules.cors)
    charge = None
    # What no route matches is limited too: a scanner is a client like any other.
    if page is None or page.limited:
        charge = gateway.limits.charge(exchange, rules.policies, gateway.clients.key(exchange))
        if charge is not None:
            await gateway.limits.spend(exchange, charge)
    if page is not None:
        return dress(await page.answer(exchange, rules), exchange, gateway.security)
    if route is None:
        raise NotFound
    order = order_of(exchange, route, gateway.clients)
    if route.cache:
        stored = await gateway.cache.find(exchange, order)
        return order if stored is None else dress(stored, exchange, gateway.security)
    if exchange.repeat is not None or exchange.family is not None:
        remember(
            exchange,
            judgement_of(exchange, rules, gateway.identity, charge, order, gateway.security),
        )
    return order


def readmit(exchange: Exchange, gateway: Gateway, decide: Decide) -> bool:
    """`admit` for a request that is known already; says whether it is.

    `decide` is told the decision, later where the limits have to be waited for. Raises ApiError.
    """
    known = recall(exchange, gateway.rules, gateway.identity)
    if known is not None:
        charge, order = known.charge, known.order
    elif (found := infer(exchange, gateway)) is not None:
        charge, order = found
    else:
        return False
    name(exchange)
    if charge is not None:
        if gateway.limits.waits:
            gateway.limits.spend_soon(exchange, charge, lambda refusal: decide(refusal or order))
            return True
        gateway.limits.spend_here(exchange, charge)
    decide(order)
    return True


def infer(exchange: Exchange, gateway: Gateway) -> tuple[Charge | None, Forward] | None:
    """What follows for a request from what is known of its like: its charge and its order.

    None when it has to be judged, which sets anew whatever was set on the exchange.
    """
    family = exchange.family
    if family is None or not family.judgements or exchange.method not in ALIKE:
        return None
    rules = gateway.rules
    split_version(exchange)
    if gateway.pages.find(exchange) is not None:
        return None
    rules.routes.match(exchange)
    route = exchange.route
    like = None if route is None else recall_like(exchange, route, rules, gateway.identity)
    if route is None or like is None:
        return None
    client_key = gateway.clients.key(exchange)
    charge = gateway.limits.charge(exchange, rules.policies, client_key, like.charge)
    order = like.order.towards(target_of(exchange, route))
    remember_for(exchange, like, charge, order)
    return charge, order


def access_to(page: Page | None, route: Route | None) -> Access:
    """What is asked of the caller's identity."""
    if page is not None:
        return page.access
    return Access.NONE if route is None else route.access


def name(exchange: Exchange) -> None:
    """Gives the request its id, and puts it on the answer."""
    offered = exchange.fields.get(b"x-request-id")
    request_id = (
        new_request_id() if offered is None else accept_request_id(offered.decode("latin-1"))
    )
    exchange.request_id = request_id
    exchange.id_line = exchange.lines = f"x-request-id: {request_id}\r\n".encode("ascii")


def dress(answer: Answer, exchange: Exchange, security: Headers) -> Answer:
    """A page brings its own fields; the stages' come on top, as on any answer."""
    headers = answer_headers(exchange, security, answer.headers)
    return Answer(answer.status, headers, answer.body, exchange.lines)


def order_of(exchange: Exchange, route: Route, clients: Clients) -> Forward:
    """The order to carry the request, and its like, to the route's upstream."""
    headers = forwarded_headers(exchange, route.access, clients)
    if route.compress:
        headers = compress.without_suffix(exchange, headers)
    return Forward(
        upstream=route.upstream,
        target=target_of(exchange, route),
        headers=[],
        lines=rendered(headers),
        timeouts=route.timeouts,
        max_body=route.max_body,
        retries=route.retries,
    )


def target_of(exchange: Exchange, route: Route) -> bytes:
    """The request target as the route's upstream knows it."""
    target = route.target_prefixes[exchange.api_version or ""] + exchange.service_path
    if exchange.query:
        target = f"{target}?{exchange.query}"
    return target.encode("ascii")
