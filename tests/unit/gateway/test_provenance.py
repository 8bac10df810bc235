"""Proxy-Status: who failed and how, in the words of RFC 9209."""

from __future__ import annotations

import re

import pytest

from services.gateway import provenance
from services.gateway.exchange import OUTCOMES
from services.gateway.upstream.failures import error_of
from shared.errors import NotFound
from tests.unit.gateway.exchanges import exchange

# Section 2.3 of the RFC, those of a proxy that speaks HTTP/1.1 without TLS.
WORDS = {
    "connection_refused", "connection_terminated", "connection_timeout", "destination_unavailable",
    "http_protocol_error", "http_response_header_section_size", "http_response_incomplete",
    "http_response_timeout",
}  # fmt: skip
OF_THE_CLIENT = {
    "ok", "malformed", "slow_client", "too_large", "client_left", "internal",
}  # fmt: skip


@pytest.mark.parametrize("outcome", sorted(OUTCOMES - OF_THE_CLIENT))
def test_every_failure_of_a_service_has_a_word(outcome: str) -> None:
    request = exchange()
    request.upstream_name, request.outcome = "tasks", outcome
    value = provenance.of_failure(request, error_of(outcome))
    assert value is not None
    match = re.fullmatch(r"tasklane-gateway; error=([a-z_]+)", value.decode())
    assert match is not None
    assert match[1] in WORDS


def test_what_no_service_has_done_is_not_blamed_on_one() -> None:
    request = exchange()
    assert provenance.of_failure(request, error_of("refused")) is None
    request.upstream_name = "tasks"
    assert provenance.of_failure(request, NotFound()) is None
