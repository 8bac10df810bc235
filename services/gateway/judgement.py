"""What the stages came to for a request, kept for its repetitions on the same connection.

A client sends the same request again and again. What the stages before the limits make of it
follows from its head, the peer, the rules in force, the time and what has been revoked: while the
last three leave it as it was, the same head means the same.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

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


@dataclass(slots=True)
class Judgement:
    """The stages' results. It holds until `until` (epoch seconds) under the same `rules`."""

    rules: Rules
    until: float
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


def recall(exchange: Exchange, rules: Rules, identity: IdentityStage) -> Judgement | None:
    """What is known of the request, put on the exchange; None when it has to be judged anew."""
    repeat = exchange.repeat
    known: Judgement | None = None if repeat is None else repeat.judgement
    if known is None:
        return None
    principal = known.principal
    if known.rules is not rules or time_not_going_back() >= known.until:
        return None
    if principal is not None and not identity.stands(principal):
        return None
    exchange.client_address = known.client_address
    exchange.api_version = known.api_version
    exchange.url_version = known.url_version
    exchange.service_path = known.service_path
    exchange.route = known.route
    exchange.template = known.template
    exchange.principal = principal
    exchange.answer_headers = known.answer_headers.copy()
    exchange.dressing = known.dressing
    exchange.vary = known.vary
    for cell in known.counted:
        cell.count += 1
    return known
