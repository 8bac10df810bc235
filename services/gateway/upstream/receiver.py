"""Who a call brings its answer to."""

from __future__ import annotations

from typing import Protocol

from services.gateway.upstream.head import ResponseHead
from shared.errors import ApiError


class Receiver(Protocol):
    """Who gets the answer. Nothing is called after `finished` or `fail`."""

    def begin(self, head: ResponseHead, body: bytes, finished: bool) -> None:
        """The answer begins, with what there is of its body."""

    def more(self, body: bytes, finished: bool) -> None:
        """More of the answer's body."""

    def fail(self, error: ApiError) -> None:
        """There is no answer, or no more of it; `exchange.outcome` says why."""

    def hold(self) -> None:
        """The service does not take more of the request's body at the moment."""

    def go_on(self) -> None:
        """It does again."""
