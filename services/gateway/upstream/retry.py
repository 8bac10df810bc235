"""When a request may be sent a second time, and how many of them at once."""

from __future__ import annotations

from services.gateway.exchange import Exchange

# RFC 9110 section 9.2.2, without TRACE, which never gets here.
_IDEMPOTENT = frozenset({"GET", "HEAD", "PUT", "DELETE", "OPTIONS"})
# Statuses of a process that is in no state to do its work: another may be.
PASSING = frozenset({500, 502, 503, 504})


def is_repeatable(exchange: Exchange) -> bool:
    """Whether sending the request twice has the same effect as sending it once."""
    return exchange.method in _IDEMPOTENT or exchange.header(b"idempotency-key") is not None


class RetryBudget:
    """Keeps retries at a share of what is under way, so that they cannot become the load."""

    __slots__ = ("_minimum", "_share", "retrying")

    def __init__(self, share: float = 0.2, minimum: int = 3) -> None:
        self._share = share
        self._minimum = minimum
        self.retrying = 0  # retries under way

    def take(self, active: int) -> bool:
        """Takes one retry out of the budget when `active` exchanges are under way."""
        if self.retrying >= max(self._minimum, int(active * self._share)):
            return False
        self.retrying += 1
        return True

    def give_back(self, retries: int) -> None:
        """As many retries as were taken have ended, well or not."""
        self.retrying -= retries
