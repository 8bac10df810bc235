"""How a call can fail, in the words of `Exchange.outcome`, and what the client gets for it."""

from __future__ import annotations

from shared.errors import ApiError, ServiceUnavailable, UpstreamError, UpstreamTimeout

_ERRORS: dict[str, type[ApiError]] = {
    "refused": ServiceUnavailable,
    "unavailable": ServiceUnavailable,
    "connect_timeout": UpstreamTimeout,
    "timeout": UpstreamTimeout,
}

# Nothing has gone out in these cases, and the address itself is what does not work.
UNREACHABLE = frozenset({"refused", "connect_timeout"})


def error_of(outcome: str) -> ApiError:
    """503 where no service was reached, 504 where one was too slow, else 502."""
    return _ERRORS.get(outcome, UpstreamError)()
