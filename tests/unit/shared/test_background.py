"""Jobs that run beside everything else."""

import asyncio

import pytest

from shared import process
from shared.process import background


async def test_a_job_that_fails_is_begun_again_and_ends_with_the_block(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(process, "RESTART_SECONDS", 0.0)
    begun, ended = 0, asyncio.Event()
    well = asyncio.Event()

    async def failing() -> None:
        nonlocal begun
        begun += 1
        if begun < 3:
            raise RuntimeError("a fault of ours")
        well.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with background(failing), asyncio.timeout(10):
        await well.wait()
    assert begun == 3
    assert ended.is_set()
