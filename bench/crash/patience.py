"""Waiting for what must come, and not for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

PATIENCE_SECONDS = 120.0


async def until(holds: Callable[[], bool], pause_seconds: float = 0.01) -> None:
    """Returns once the condition holds. Raises TimeoutError."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            if holds():
                return
            await asyncio.sleep(pause_seconds)
