"""Calls of other services to `/internal` of auth."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from aiohttp import ClientError, ClientSession, ClientTimeout

KEY_HEADER = "X-Service-Key"
TOKEN_HEADER = "X-Service-Token"  # noqa: S105 - the name of a header
MOST_BYTES = 1_048_576
# A token is bought again this long before it expires.
AHEAD_SECONDS = 30.0
EXCHANGE_SECONDS = 3.0


class AuthAway(Exception):
    """Auth did not answer, or not as agreed; the text says how."""


@dataclass(frozen=True, slots=True)
class Bought:
    """What auth gave for a credential: a token, and for a session the key of its CSRF tokens."""

    token: str
    csrf_key: bytes | None = None


class AuthInternal:
    """Calls auth with a service token, which it buys with the service key whenever it needs one.

    With several endpoints a failure makes the next call go to the next one.
    """

    def __init__(
        self, session: ClientSession, endpoints: Callable[[], tuple[str, ...]], credential: str
    ) -> None:
        self._session = session
        self._endpoints = endpoints
        self._credential = credential
        self._current = 0
        self._token = ""
        self._token_ends_at = 0.0

    async def get(self, path: str, query: Mapping[str, str], *, seconds: float) -> Any:
        """The JSON document at `path`. Raises AuthAway."""
        status, document = await self._call("GET", path, seconds=seconds, params=query)
        if status != 200:
            raise AuthAway(f"status {status}")
        return document

    async def exchange(self, credential: dict[str, str]) -> Bought | None:
        """What another credential stands for, None for one that is not good.

        Raises AuthAway.
        """
        status, document = await self._call(
            "POST", "/internal/exchange", seconds=EXCHANGE_SECONDS, json=credential
        )
        if status == 404:
            return None
        try:
            if status != 200:
                raise AuthAway(f"status {status}")
            csrf_key = document["csrf_key"]
            return Bought(
                str(document["access_token"]), None if csrf_key is None else csrf_key.encode()
            )
        except (AttributeError, KeyError, TypeError) as error:
            raise AuthAway("no access token in the answer") from error

    async def _call(
        self, method: str, path: str, *, seconds: float, **options: Any
    ) -> tuple[int, Any]:
        for last in (False, True):
            headers = {TOKEN_HEADER: await self._service_token()}
            answer = await self._send(method, path, headers, seconds, **options)
            if answer[0] != 401 or last:
                return answer
            # The keys behind the token are gone, as after the restoring of a backup.
            self._token = ""
        raise AssertionError("unreachable")

    async def _service_token(self) -> str:
        now = time.monotonic()
        if not self._token or now >= self._token_ends_at:
            status, sold = await self._send(
                "POST", "/internal/token", {KEY_HEADER: self._credential}, 2.0
            )
            if status != 200:
                raise AuthAway(f"no service token: status {status}")
            try:
                self._token = str(sold["access_token"])
                self._token_ends_at = now + float(sold["expires_in"]) - AHEAD_SECONDS
            except (KeyError, TypeError, ValueError) as error:
                raise AuthAway("no service token in the answer") from error
        return self._token

    async def _send(
        self, method: str, path: str, headers: dict[str, str], seconds: float, **options: Any
    ) -> tuple[int, Any]:
        endpoints = self._endpoints()
        if not endpoints:
            raise AuthAway("no upstream is called auth")
        url = endpoints[self._current % len(endpoints)].rstrip("/") + path
        try:
            async with self._session.request(
                method,
                url,
                headers=headers,
                allow_redirects=False,
                timeout=ClientTimeout(total=seconds, connect=1.0),
                **options,
            ) as answer:
                body = await answer.content.read(MOST_BYTES + 1)
                while len(body) <= MOST_BYTES and not answer.content.at_eof():
                    body += await answer.content.read(MOST_BYTES + 1 - len(body))
                if len(body) > MOST_BYTES:
                    raise AuthAway("the answer is too large")
                if answer.status >= 500:
                    self._current += 1
                return answer.status, orjson.loads(body) if body else None
        except (ClientError, TimeoutError, OSError, ValueError) as error:
            self._current += 1
            raise AuthAway(repr(error)) from error
