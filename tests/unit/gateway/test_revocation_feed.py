"""What a gateway says that cannot hear of revocations."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest
from aiohttp import ClientSession
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from services.gateway.identity import feed
from services.gateway.identity.revoked import Revoked
from shared import outage
from shared.auth_internal import AuthInternal
from tests.ports import free_port


def failures(registry: CollectorRegistry) -> float | None:
    return registry.get_sample_value("revocation_feed_failures_total")


@pytest.mark.parametrize(("patience", "level"), [(60.0, "info"), (0.0, "warning")])
async def test_who_starts_before_auth_waits_for_it_without_a_warning(
    monkeypatch: pytest.MonkeyPatch, patience: float, level: str
) -> None:
    monkeypatch.setattr(outage, "START_SECONDS", patience)
    monkeypatch.setattr(feed, "SHORTEST_PAUSE", 0.001)
    registry, url = CollectorRegistry(), f"http://127.0.0.1:{free_port()}"
    with capture_logs() as logged:
        async with ClientSession() as session:
            auth = AuthInternal(session, lambda: (url,), "c" * 40)
            following = feed.RevocationFeed(auth, Revoked(followed=True), registry, lambda: None)
            task = asyncio.create_task(following.follow())
            async with asyncio.timeout(10):
                while (failures(registry) or 0) < 4:  # noqa: ASYNC110 - a figure has no event
                    await asyncio.sleep(0.001)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
    assert [(line["event"], line["log_level"]) for line in logged] == [
        ("revocation_feed_failed", level)
    ]
