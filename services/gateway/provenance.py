"""Proxy-Status (RFC 9209): whether the gateway or the service failed, and how."""

from __future__ import annotations

from services.gateway.exchange import Exchange
from shared.errors import ApiError, ServiceUnavailable, UpstreamError, UpstreamTimeout

_PROXY = b"tasklane-gateway"

# The data plane's outcomes in the words of RFC 9209 section 2.3.
_ERRORS = {
    "bad_framing": b"http_protocol_error",
    "long_head": b"http_response_header_section_size",
    "connect_timeout": b"connection_timeout",
    "refused": b"connection_refused",
    "reset": b"connection_terminated",
    "timeout": b"http_response_timeout",
    "truncated": b"http_response_incomplete",
    "unavailable": b"destination_unavailable",
}


def of_failure(exchange: Exchange, error: ApiError) -> bytes | None:
    """The field for an answer that the gateway makes because no service gave one."""
    if exchange.upstream_name is None:
        return None
    if not isinstance(error, UpstreamError | ServiceUnavailable | UpstreamTimeout):
        return None
    reason = _ERRORS.get(exchange.outcome, b"proxy_internal_error")
    return b"%b; error=%b" % (_PROXY, reason)


def of_status(status: int) -> bytes:
    """The field for a service's own error whose body was replaced."""
    return b"%b; received-status=%d" % (_PROXY, status)
