"""What a page is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import orjson

from services.gateway.config import Access
from services.gateway.exchange import Answer, Exchange
from services.gateway.rules import Rules
from shared.errors import MethodNotAllowed

Content = Callable[[Exchange, Rules], Awaitable[Answer]]

METHODS = ["GET", "HEAD"]


@dataclass(frozen=True, slots=True)
class Page:
    """A path of the gateway's own. `limited` pages cost the caller as any request does."""

    template: str
    content: Content
    access: Access = Access.NONE
    limited: bool = True

    async def answer(self, exchange: Exchange, rules: Rules) -> Answer:
        """The page. Raises MethodNotAllowed for anything but GET and HEAD."""
        if exchange.method not in METHODS:
            raise MethodNotAllowed(METHODS)
        return await self.content(exchange, rules)


def json_answer(body: Any, *, status: int = 200, cache: bytes = b"no-store") -> Answer:
    """`body` as JSON."""
    headers = [(b"content-type", b"application/json"), (b"cache-control", cache)]
    return Answer(status, headers, orjson.dumps(body))
