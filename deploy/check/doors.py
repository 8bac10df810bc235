"""The gateways that are ready, found as a load balancer finds them: by asking their ops ports."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from collections.abc import AsyncIterator

import aiohttp

LOOK_SECONDS = 0.3
NETWORK = "outside"
# The addresses of containers are reachable from the host of a Linux engine.
_ADDRESS = "{{range $name, $its := .NetworkSettings.Networks}}{{$name}}={{$its.IPAddress}} {{end}}"


async def _address(container: str) -> str | None:
    """The address on the network that leads out, or None while the container is stopped."""
    done = await asyncio.to_thread(
        subprocess.run,
        ["docker", "inspect", "--format", _ADDRESS, container],
        capture_output=True,
        text=True,
        check=False,
    )
    pairs = dict(word.split("=", 1) for word in done.stdout.split())
    found = [address for name, address in pairs.items() if name.endswith(NETWORK)]
    return (found and found[0]) or None


async def _is_ready(session: aiohttp.ClientSession, address: str) -> bool:
    try:
        async with session.get(f"http://{address}:9080/health/ready") as answer:
            return answer.status == 200
    except (aiohttp.ClientError, TimeoutError):
        return False


@contextlib.asynccontextmanager
async def watched(containers: list[str]) -> AsyncIterator[list[str]]:
    """Yields a list of base URLs that is kept to the gateways that are ready."""
    ready: dict[str, str] = {}
    doors: list[str] = []
    timeout = aiohttp.ClientTimeout(total=2.0)

    async def look(session: aiohttp.ClientSession, container: str) -> None:
        address = ready.get(container) or await _address(container)
        if address and await _is_ready(session, address):
            ready[container] = address
        else:
            ready.pop(container, None)
        doors[:] = [f"http://{each}:8080" for each in ready.values()]

    async def watch(session: aiohttp.ClientSession) -> None:
        while True:
            await asyncio.gather(*(look(session, container) for container in containers))
            await asyncio.sleep(LOOK_SECONDS)

    async with aiohttp.ClientSession(timeout=timeout) as session:
        while len(doors) < len(containers):
            await asyncio.gather(*(look(session, container) for container in containers))
        watching = asyncio.create_task(watch(session))
        try:
            yield doors
        finally:
            watching.cancel()
