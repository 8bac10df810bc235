"""make drill: the compose system under load, its containers restarted and killed one by one.

It needs a Docker engine, runs beside a system of yours (its project is `tasklane-drill`), and
removes all that it made. Exit code 1 says that a request failed or a write was lost.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from deploy.check.doors import watched
from deploy.check.load import Load

DEPLOY = Path(__file__).resolve().parents[1]
COMPOSE = [
    *("docker", "compose", "--project-name", "tasklane-drill"),
    *("-f", str(DEPLOY / "compose.yaml"), "-f", str(DEPLOY / "check" / "compose.yaml")),
]
SCALE = ("--scale", "gateway=2", "--scale", "auth=2", "--scale", "tasks=2")
ROLLED = ("tasks", "auth", "worker", "gateway")
KILLED = ("tasks", "auth", "gateway", "worker", "redis", "postgres")
WORKERS = 8
# Patience with a busy machine: what a restart costs is counted in requests, not in seconds.
HEALTHY_SECONDS = 300
SETTLED_SECONDS = 3.0


def compose(*words: str) -> str:
    """Runs `docker compose`; raises CalledProcessError."""
    done = subprocess.run([*COMPOSE, *words], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.stderr.write(done.stderr)
        done.check_returncode()
    return done.stdout.strip()


def containers(service: str) -> list[str]:
    """The ids of a service's containers, stopped ones too."""
    return compose("ps", "--all", "--quiet", service).split()


def docker(*words: str) -> str:
    done = subprocess.run(["docker", *words], capture_output=True, text=True, check=True)
    return done.stdout.strip()


async def healthy(container: str) -> None:
    """Waits until a container reports healthy; TimeoutError when it never does."""
    async with asyncio.timeout(HEALTHY_SECONDS):
        while True:
            state = await asyncio.to_thread(
                docker, "inspect", "--format", "{{.State.Health.Status}}", container
            )
            if state == "healthy":
                return
            await asyncio.sleep(0.3)


async def roll(service: str) -> None:
    """Stops and starts one container after the other, as a rolling update does."""
    for container in containers(service):
        await asyncio.to_thread(docker, "stop", container)
        await asyncio.to_thread(docker, "start", container)
        await healthy(container)


async def kill(service: str) -> None:
    """Kills one container as a crash would, then brings it back."""
    container = containers(service)[0]
    await asyncio.to_thread(docker, "kill", "--signal", "KILL", container)
    await asyncio.sleep(SETTLED_SECONDS)
    await asyncio.to_thread(docker, "start", container)
    await healthy(container)


async def under_load(
    doors: list[str], what: Callable[[str], Awaitable[None]], service: str, *, strict: bool
) -> bool:
    """Does it to a service under load and prints what the clients saw. Whether that is good."""
    load, stop = Load(doors), asyncio.Event()
    await load.sign_up()
    running = asyncio.create_task(load.run(WORKERS, stop))
    await asyncio.sleep(SETTLED_SECONDS)
    await what(service)
    # What comes after must work again, whatever happened in between.
    await asyncio.sleep(SETTLED_SECONDS)
    before = len(load.failures)
    await asyncio.sleep(SETTLED_SECONDS)
    late = len(load.failures) - before
    stop.set()
    await running
    lost = await load.missing()
    failed = len(load.failures)
    good = not lost and not late and not (strict and failed)
    print(
        f"{what.__name__} {service:<9} {'good' if good else 'BAD':<5} "
        f"acknowledged {len(load.acknowledged)}, lost {len(lost)}, failed {failed}, "
        f"failed after recovery {late}  {dict(load.outcomes)}",
        flush=True,
    )
    for failure in sorted(set(load.failures))[: 5 if not good else 0]:
        print(f"    {failure}")
    return good


async def drill() -> bool:
    wanted = sys.argv[1:] or ["roll", "kill"]
    good = True
    async with watched(containers("gateway")) as doors:
        for service in ROLLED if "roll" in wanted else ():
            good &= await under_load(doors, roll, service, strict=True)
        for service in KILLED if "kill" in wanted else ():
            good &= await under_load(doors, kill, service, strict=False)
    return good


def main() -> int:
    try:
        compose("up", "--detach", "--build", "--wait", *SCALE)
        return int(not asyncio.run(drill()))
    finally:
        compose("down", "--volumes", "--timeout", "5")


if __name__ == "__main__":
    sys.exit(main())
