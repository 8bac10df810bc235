"""What the gateway would do with a request, and every route that it has: the commands for it.

Nothing is sent, and no credential is verified: a request is told by its text and the configuration.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from aiohttp import ClientSession
from prometheus_client import CollectorRegistry

from services.gateway.clients import Clients
from services.gateway.config import Access, Config, Route
from services.gateway.downstream.head import NO_FIELDS, BadHead
from services.gateway.downstream.head_reader import HeadReader
from services.gateway.exchange import Exchange, Timeouts
from services.gateway.identify import offered
from services.gateway.limits.memory import MemoryLimiter
from services.gateway.limits.policies import FailureMode, Key, LimitPolicy
from services.gateway.limits.stage import LimiterMetrics, LimitStage
from services.gateway.pages import Page, Pages
from services.gateway.pages.sources import Sources
from services.gateway.pipeline import access_to
from services.gateway.routes import split_version
from services.gateway.rules import Rules, make_rules
from shared.cookies import Cookies
from shared.errors import ApiError, BadRequest, MethodNotAllowed, NotFound, Unauthorized
from shared.identity import Tier
from shared.tally import Cell


@dataclass(slots=True)
class Explanation:
    """What is known of a request, up to the stage that refuses it."""

    facts: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        width = max(map(len, self.facts), default=0)
        return "\n".join(f"{name:<{width}}  {value}" for name, value in self.facts.items())


async def explain(
    config: Config,
    method: str,
    target: str,
    headers: list[str],
    tier: Tier | None = None,
    *,
    cookies: Cookies,
) -> Explanation:
    """The stages' decisions on a request; `headers` are lines, `tier` the caller's, if known."""
    found = Explanation({"request": f"{method} {target}"})
    async with ClientSession() as session:
        limits = LimitStage(MemoryLimiter(), None, LimiterMetrics(CollectorRegistry()))
        pages = Pages(Sources(session), limits, Clients(()), cookies=cookies)
        try:
            exchange = _read(config, method, target, headers)
            credentials = offered(exchange, cookies.session.encode())
            rules = make_rules(config, lambda _seen: Cell())
            _walk(found.facts, exchange, rules, pages, credentials, tier)
        except ApiError as error:
            found.facts["answer"] = f"{error.status} {error.code}: {error.text}"
    return found


def _read(config: Config, method: str, target: str, headers: list[str]) -> Exchange:
    """The request as the data plane would hand it on. Raises ApiError."""
    lines = [f"{method} {target} HTTP/1.1", *headers]
    if not any(line.lower().startswith("host:") for line in headers):
        lines.append("Host: localhost")
    try:
        data = "\r\n".join([*lines, "", ""]).encode("latin-1")
        head = HeadReader(config.server).read(data, NO_FIELDS)
    except BadHead as bad:
        raise bad.error from None
    except UnicodeEncodeError:
        raise BadRequest("Malformed request: the target or a header is not Latin-1") from None
    return Exchange(
        method=head.method,
        path=head.path,
        query=head.query,
        headers=head.fields.headers,
        peer="",
        received_at=0.0,
        content_length=head.content_length,
        chunked=head.chunked,
    )


def _walk(
    facts: dict[str, str],
    exchange: Exchange,
    rules: Rules,
    pages: Pages,
    credentials: list[str],
    tier: Tier | None,
) -> None:
    """The order of `pipeline.admit`. Raises ApiError where it would."""
    split_version(exchange)
    if rules.cors.welcome(exchange) is not None:
        facts["answer"] = "204: a CORS preflight"
        return
    page = pages.find(exchange)
    if page is None:
        rules.routes.match(exchange)
    route = exchange.route
    facts["route"] = _named(page, route)
    rules.versions.choose(exchange)
    if exchange.api_version is not None:
        phase = rules.versions.phase(exchange.api_version)
        facts["version"] = f"{exchange.api_version} ({phase.status})"
    access = access_to(page, route)
    facts["identity"] = f"{' and '.join(credentials) or 'none'}, {access} here"
    if access is not Access.NONE and len(credentials) > 1:
        raise BadRequest("More than one credential was sent")
    if access is Access.REQUIRED and not credentials:
        raise Unauthorized
    if tier is None:
        known = bool(credentials) and access is not Access.NONE
        tier = Tier.DEFAULT if known else Tier.ANONYMOUS
    if page is None or page.limited:
        applied = rules.policies.applying(tier, exchange.method, exchange.service_path)
        facts["tier"] = tier
        facts["policies"] = ", ".join(map(_rate, applied.policies)) or "none"
        facts["cost"] = str(applied.cost)
    if page is not None:
        if exchange.method not in ("GET", "HEAD"):
            raise MethodNotAllowed(["GET", "HEAD"])
        facts["answer"] = "a page of the gateway's own"
        return
    if route is None:
        raise NotFound
    _forwarded(facts, exchange, route, rules.config)


def _forwarded(facts: dict[str, str], exchange: Exchange, route: Route, config: Config) -> None:
    target = route.target_prefixes[exchange.api_version or ""] + exchange.service_path
    upstream = config.upstreams[route.upstream]
    facts["upstream"] = f"{route.upstream} at {', '.join(upstream.endpoints)}"
    facts["target"] = target + (f"?{exchange.query}" if exchange.query else "")
    facts["time-outs"] = _seconds(route.timeouts)
    facts["retries"] = str(route.retries)
    facts["body"] = f"at most {route.max_body} bytes"
    facts["compression"] = "br or gzip if asked for" if route.compress else "none"
    facts["cache"] = "public answers" if route.cache else "none"
    if route.stale_if_error:
        facts["cache"] += f", {route.stale_if_error:g} s past their time when the service fails"


def _named(page: Page | None, route: Route | None) -> str:
    if page is not None:
        return f"{page.template} (page)"
    return "none" if route is None else route.prefix


def _rate(policy: LimitPolicy) -> str:
    notes: list[str] = [policy.key] if policy.key is Key.ADDRESS else []
    notes += ["shadow"] if policy.shadow else []
    notes += [] if policy.on_failure is FailureMode.LOCAL else [f"{policy.on_failure} w/o Redis"]
    shown = f"{policy.name} {policy.count}/{policy.period}s"
    return f"{shown} ({', '.join(notes)})" if notes else shown


def _seconds(timeouts: Timeouts) -> str:
    return (
        f"connect {timeouts.connect:g}, first byte {timeouts.first_byte:g}, "
        f"idle {timeouts.idle:g}, total {timeouts.total:g}"
    )


def routes(config: Config) -> Iterator[str]:
    """Every route on a line, by prefix: who may come, whereto, and within which bounds.

    The policies are those of the tier `default` for a GET.
    """
    width = max((len(route.prefix) for route in config.routes), default=0)
    book = make_rules(config, lambda _seen: Cell()).policies
    for route in sorted(config.routes, key=lambda route: route.prefix):
        versions = ",".join(name or "plain" for name in route.target_prefixes)
        applied = book.applying(Tier.DEFAULT, "GET", route.prefix)
        policies = ", ".join(map(_rate, applied.policies)) or "no limits"
        yield (
            f"{route.prefix:<{width}}  {versions}  {route.access:<8}  {route.upstream}  "
            f"{policies}  {_seconds(route.timeouts)}  retries {route.retries}  "
            f"body {route.max_body}"
        )
