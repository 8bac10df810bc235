"""What the stages came to for a request, kept for its repetitions and for its like.

A client sends the same request again and again. What the stages before the limits make of it
follows from its head, the peer, the rules in force, the time and what has been revoked: while the
last three leave it as it was, the same head from the same peer means the same. So a repetition is
known by all of its head.

A client also asks for one thing after the other with the same header lines. Of what the stages
make of a GET, only the target and the limits come from where the path ends: the rest follows from
the header lines, the peer, the version in the path and the route. So its like is known by these.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from services.gateway.cookies import LOGIN_PATHS
from services.gateway.exchange import Exchange, Forward, Headers
from services.gateway.framing import rendered
from services.gateway.headers import DOCUMENT_DEFAULTS
from services.gateway.limits.stage import Charge
from shared.clock import time_not_going_back

if TYPE_CHECKING:
    from services.gateway.config import Route
    from services.gateway.identify import IdentityStage
    from services.gateway.rules import Rules
    from shared.identity import Principal
    from shared.tally import Cell

# Methods without a body and without a CSRF check, which some paths have and others have not.
ALIKE = frozenset({"GET", "HEAD"})
# Of each set of header lines so many kinds of requests are known before all are forgotten.
_MOST_OF_A_FAMILY = 4


@dataclass(slots=True)
class Judgement:
    """The stages' results. It holds until `until` (epoch seconds) under the same `rules`."""

    rules: Rules
    until: float
    peer: str
    client_address: str
    api_version: str | None
    url_version: str | None
    service_path: str
    route: Route
    template: str
    principal: Principal | None
    answer_headers: Headers
    vary: bytes
    charge: Charge | None
    order: Forward
    counted: tuple[Cell, ...]  # what the stages count of every request
    # The header lines that go on an answer of the upstream's; None where each is looked at.
    dressing: bytes | None


def judgement_of(
    exchange: Exchange,
    rules: Rules,
    identity: IdentityStage,
    charge: Charge | None,
    order: Forward,
    security: Headers,
) -> Judgement:
    """What there is to remember of a request that the stages have let through."""
    assert exchange.route is not None
    principal, until = exchange.principal, math.inf
    if principal is not None:
        until = principal.expires_at
    if exchange.api_version is not None:
        until = min(until, rules.versions.phase(exchange.api_version).until or math.inf)
    counted = identity.found(exchange)
    if exchange.resolved is not None:
        counted.append(rules.versions.seen(exchange.resolved))
    dressing = [*security, *DOCUMENT_DEFAULTS, *exchange.answer_headers]
    if exchange.vary:
        dressing.append((b"vary", exchange.vary))
    return Judgement(
        rules=rules,
        until=until,
        peer=exchange.peer,
        client_address=exchange.client_address,
        api_version=exchange.api_version,
        url_version=exchange.url_version,
        service_path=exchange.service_path,
        route=exchange.route,
        template=exchange.template,
        principal=principal,
        answer_headers=exchange.answer_headers,
        vary=exchange.vary,
        charge=charge,
        order=order,
        counted=tuple(counted),
        dressing=None if exchange.route.compress else rendered(dressing),
    )


def remember(exchange: Exchange, judgement: Judgement) -> None:
    """Keeps the judgement of a request for those that are alike, as far as they can be known.

    What a session cookie stands for is for auth to say, every minute anew.
    """
    if b"cookie" in exchange.fields:
        return
    if exchange.repeat is not None:
        exchange.repeat.judgement = judgement
    family = exchange.family
    if family is not None and exchange.method in ALIKE:
        if len(family.judgements) >= _MOST_OF_A_FAMILY:
            family.judgements.clear()
        family.judgements[_likeness(exchange, judgement.route)] = judgement


def recall(exchange: Exchange, rules: Rules, identity: IdentityStage) -> Judgement | None:
    """What is known of the very same request, put on the exchange; None when it is to be judged."""
    repeat = exchange.repeat
    known: Judgement | None = None if repeat is None else repeat.judgement
    if known is None or known.peer != exchange.peer or not _stands(known, rules, identity):
        return None
    exchange.url_version = known.url_version
    exchange.service_path = known.service_path
    exchange.route = known.route
    _apply(exchange, known)
    return known


def recall_like(
    exchange: Exchange, route: Route, rules: Rules, identity: IdentityStage
) -> Judgement | None:
    """What is known of a request that is alike, put on the exchange but for what its path says.

    `order` and `charge` are the other's. None when the request has to be judged.
    """
    family = exchange.family
    known: Judgement | None = None
    if family is not None:
        known = family.judgements.get(_likeness(exchange, route))
    if known is None or not _stands(known, rules, identity):
        return None
    _apply(exchange, known)
    return known


def remember_for(
    exchange: Exchange, like: Judgement, charge: Charge | None, order: Forward
) -> None:
    """Keeps for the repetitions of a request what followed for it from one that is alike."""
    if exchange.repeat is not None:
        exchange.repeat.judgement = replace(
            like,
            service_path=exchange.service_path,
            charge=charge,
            order=order,
        )


def _likeness(exchange: Exchange, route: Route) -> tuple[object, ...]:
    """What two requests with the same header lines have in common if they mean the same."""
    # Where a token is to be had, one that has ended is no obstacle.
    login = exchange.service_path in LOGIN_PATHS
    version = exchange.url_version
    return (exchange.peer, exchange.method, version, route.prefix, route.versioned, login)


def _stands(known: Judgement, rules: Rules, identity: IdentityStage) -> bool:
    """Whether nothing has changed since that the judgement depends on."""
    if known.rules is not rules or time_not_going_back() >= known.until:
        return False
    return known.principal is None or identity.stands(known.principal)


def _apply(exchange: Exchange, known: Judgement) -> None:
    exchange.client_address = known.client_address
    exchange.api_version = known.api_version
    exchange.template = known.template
    exchange.principal = known.principal
    exchange.answer_headers = known.answer_headers.copy()
    exchange.dressing = known.dressing
    exchange.vary = known.vary
    for cell in known.counted:
        cell.count += 1
