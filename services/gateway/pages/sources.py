"""How the gateway's pages ask the services: small requests, short time-outs, any endpoint."""

from __future__ import annotations

import asyncio
import random

from aiohttp import ClientError, ClientSession, ClientTimeout
from yarl import URL

from services.gateway.config import Upstream

MAX_BYTES = 4_194_304


class SourceFailed(Exception):
    """No endpoint of the upstream gave a usable answer."""


class Sources:
    """GET requests to upstreams, for pages."""

    def __init__(self, session: ClientSession) -> None:
        self._session = session

    async def get(self, upstream: Upstream, path: str, timeout: float) -> tuple[int, bytes]:
        """Status and body from the first endpoint that answers, at random; `timeout` in seconds.

        Raises SourceFailed when none does, or when the body is larger than 4 MiB.
        """
        endpoints = random.sample(upstream.endpoints, len(upstream.endpoints))
        try:
            async with asyncio.timeout(timeout):
                for endpoint in endpoints:
                    try:
                        return await self._get(endpoint.rstrip("/") + path, timeout)
                    except (ClientError, OSError):
                        continue
        except TimeoutError:
            raise SourceFailed(f"{upstream.name} did not answer in time") from None
        raise SourceFailed(f"{upstream.name} cannot be reached")

    async def _get(self, url: str, timeout: float) -> tuple[int, bytes]:
        async with self._session.get(
            URL(url, encoded=True),
            allow_redirects=False,
            timeout=ClientTimeout(total=timeout),
        ) as answer:
            body = b""
            async for part in answer.content.iter_any():
                body += part
                if len(body) > MAX_BYTES:
                    raise SourceFailed(f"{url} answers with more than {MAX_BYTES} bytes")
            return answer.status, body
