"""One attempt of one delivery over HTTP."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple, Self

from aiohttp import ClientError, ClientSession, ClientTimeout, DummyCookieJar, TCPConnector

from services.tasks.webhooks.guard import AddressRefused, GuardedResolver, guarded_socket
from services.tasks.webhooks.lookup import HostLookup
from shared.version import VERSION

_ANSWER_BYTES = 65_536
_ERROR_SHOWN = 200


class Outcome(NamedTuple):
    """What came of an attempt: a status, or an error that says why there is none."""

    status: int | None
    error: str | None
    refused: bool = False
    retry_after: float | None = None

    @property
    def good(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


class Sender(AbstractAsyncContextManager["Sender"]):
    """Sends to receivers that may be slow, wrong, gone or hostile; no redirect is followed."""

    def __init__(self, *, allow_private: bool, timeout_seconds: float) -> None:
        self._allow_private = allow_private
        self._timeout = ClientTimeout(total=timeout_seconds)

    async def __aenter__(self) -> Self:
        self._lookup = HostLookup()
        # Whoever calls bounds the attempts; a bound here would let one receiver keep out another.
        connector = TCPConnector(
            limit=0,
            use_dns_cache=False,
            resolver=self._lookup if self._allow_private else GuardedResolver(self._lookup),
            socket_factory=None if self._allow_private else guarded_socket,
        )
        self._session = ClientSession(
            connector=connector,
            timeout=self._timeout,
            cookie_jar=DummyCookieJar(),
            auto_decompress=False,
            headers={"User-Agent": f"Tasklane-Webhooks/{VERSION}"},
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()
        await self._lookup.close()

    async def send(self, url: str, headers: Mapping[str, str], body: bytes) -> Outcome:
        """Posts the body. Never raises for what the receiver does."""
        sent = {**headers, "Content-Type": "application/json"}
        try:
            async with self._session.post(
                url, data=body, headers=sent, allow_redirects=False
            ) as answer:
                retry_after = answer.headers.get("Retry-After", "")
                # Read to its end, so that the connection can be used again; more is cut off.
                await answer.content.read(_ANSWER_BYTES)
                if not answer.content.at_eof():
                    answer.close()
                error = None if 200 <= answer.status < 300 else f"HTTP status {answer.status}"
                return Outcome(
                    answer.status,
                    error,
                    retry_after=float(retry_after) if _is_seconds(retry_after) else None,
                )
        except TimeoutError:
            return Outcome(None, "no answer in time")
        except (ClientError, OSError, ValueError) as error:
            if any(isinstance(cause, AddressRefused) for cause in _causes(error)):
                return Outcome(None, "the address of the host is not public", refused=True)
            return Outcome(None, (str(error) or type(error).__name__)[:_ERROR_SHOWN])


def _is_seconds(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 10


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__
