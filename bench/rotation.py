"""`python -m bench.rotation`: signing keys change under load, and no good token is refused.

Starts the system as `make run` does, with a short time between publishing a key and signing with
it. Clients ask for tasks, through the gateway and at tasks itself, and refresh their sessions all
the while; each access token is used until the next one. Fails when any answer is a 401.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jwt
from aiohttp import ClientSession, DummyCookieJar, TCPConnector

from bench.machine import Cores
from bench.processes import ROOT, NotMeasured, python
from bench.system import System, running_system

# Longer than a verifier's fetch of the key set is away, with room for a busy machine.
PUBLISH_SECONDS = 20
PATIENCE_SECONDS = 60.0


@dataclass
class Drill:
    """Counts answers by who gave them, and the keys that were met."""

    gateway: str
    tasks: str
    login: dict[str, Any]
    answers: Counter[tuple[str, int]] = field(default_factory=Counter)
    keys: list[str] = field(default_factory=list)

    async def use(self, session: ClientSession) -> None:
        """One client: logs in, then reads at both doors and refreshes, until cancelled."""
        grant = await self._post(session, "login", self.login)
        while True:
            kid = str(jwt.get_unverified_header(grant["access_token"])["kid"])
            if kid not in self.keys:
                self.keys.append(kid)
            headers = {"Authorization": f"Bearer {grant['access_token']}"}
            for _ in range(3):
                for name, url in (("gateway", f"{self.gateway}/tasks"), ("tasks", self.tasks)):
                    async with session.get(url, headers=headers) as answer:
                        await answer.read()
                    self.answers[name, answer.status] += 1
            grant = await self._post(session, "refresh", {"refresh_token": grant["refresh_token"]})

    async def until_keys(self, count: int) -> None:
        """Waits until that many keys have signed. Raises NotMeasured."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while len(self.keys) < count:
            if time.monotonic() > deadline:
                raise NotMeasured(f"key {count} never signed")
            await asyncio.sleep(0.1)

    async def _post(self, session: ClientSession, path: str, body: dict[str, Any]) -> Any:
        async with session.post(f"{self.gateway}/auth/{path}", json=body) as answer:
            self.answers[path, answer.status] += 1
            if answer.status != 200:
                raise NotMeasured(f"{path} was answered {answer.status}")
            return await answer.json()


async def rotate(drill: Drill, environment: dict[str, str], *, clients: int, times: int) -> None:
    """Rotates `times` while `clients` go on."""
    async with ClientSession(
        cookie_jar=DummyCookieJar(), connector=TCPConnector(limit=0)
    ) as session:
        load = [asyncio.create_task(drill.use(session)) for _ in range(clients)]
        await drill.until_keys(1)
        for number in range(times):
            done = await asyncio.to_thread(
                subprocess.run,
                python("services.auth", "keys", "rotate"),
                cwd=ROOT,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                raise NotMeasured(done.stderr)
            print(done.stdout.strip())
            await drill.until_keys(number + 2)
        # Tokens of the key before are still in use when the new one signs.
        await asyncio.sleep(5)
        for task in load:
            task.cancel()
        for outcome in await asyncio.gather(*load, return_exceptions=True):
            if isinstance(outcome, Exception):
                raise outcome


def _drill_of(system: System) -> tuple[Drill, dict[str, str]]:
    """The drill, and the environment in which commands of auth find its database and keys."""
    state = json.loads((system.data / "run.json").read_text())
    environment = Path(f"/proc/{system.pids['auth']}/environ").read_bytes().split(b"\0")
    given = dict(entry.decode().split("=", 1) for entry in environment if b"=" in entry)
    drill = Drill(
        gateway=f"{state['url']}/api/v2",
        tasks=f"http://127.0.0.1:{state['ports']['TASKS_PORT']}/v2/tasks",
        login=json.loads(system.requests["login"].body or "{}"),
    )
    return drill, given


def main() -> int:
    """Prints what was answered; returns 1 when a good token was refused."""
    parser = argparse.ArgumentParser(prog="bench.rotation", description=__doc__)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--times", type=int, default=2, help="rotations")
    options = parser.parse_args()
    settings = {"SIGNING_KEY_PUBLISH_SECONDS": str(PUBLISH_SECONDS)}
    with tempfile.TemporaryDirectory(prefix="tasklane-bench-") as name:
        try:
            with running_system(Path(name) / "system", Cores.split().measured, settings) as system:
                drill, environment = _drill_of(system)
                asyncio.run(
                    rotate(drill, environment, clients=options.clients, times=options.times)
                )
        except NotMeasured as error:
            print(f"failed: {error}", file=sys.stderr)
            return 1
    for (name, status), count in sorted(drill.answers.items()):
        print(f"{name:10} {status} {count:8}")
    refused = sum(count for (_, status), count in drill.answers.items() if status != 200)
    print(f"keys that signed: {len(drill.keys)}, answers other than 200: {refused}")
    return 1 if refused else 0


if __name__ == "__main__":
    raise SystemExit(main())
