"""`python -m bench.revocation`: from a logout to the refusal of its token, under load.

Starts the system as `make run` does. The time of one revocation runs from the moment at which the
logout is sent, so it contains the logout itself, to the first 401 for the token at the gateway.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path

from aiohttp import ClientSession, DummyCookieJar, TCPConnector

from bench.machine import Cores
from bench.processes import NotMeasured
from bench.system import running_system
from bench.wire import Request

LOOK_SECONDS = 0.002
GIVE_UP_SECONDS = 30.0
LOGINS_AT_ONCE = 2  # as many as there are threads that hash
WANTED_P99_SECONDS = 1.0


class Revocations:
    """Ends sessions at the door and watches their tokens, while others ask for tasks."""

    def __init__(self, session: ClientSession, requests: dict[str, Request]) -> None:
        self._session = session
        self._login = requests["login"]
        self._read = requests["GET one"]
        self._api = self._read.url.partition("/tasks")[0]
        self.served = 0

    async def log_in(self, count: int) -> list[str]:
        """As many sessions' access tokens, each of which the gateway has verified once."""
        turns = asyncio.Semaphore(LOGINS_AT_ONCE)

        async def one() -> str:
            async with (
                turns,
                self._session.post(
                    self._login.url, headers=self._login.headers, data=self._login.body
                ) as answer,
            ):
                if answer.status != 200:
                    raise NotMeasured(f"a login was answered {answer.status}")
                token = str((await answer.json())["access_token"])
            if await self._status(token) != 200:
                raise NotMeasured("a token that is good was refused")
            return token

        return await asyncio.gather(*(one() for _ in range(count)))

    async def keep_asking(self) -> None:
        """The load: one client that waits for each answer."""
        while True:
            async with self._session.get(self._read.url, headers=self._read.headers) as answer:
                await answer.read()
            self.served += 1

    async def revoke(self, token: str) -> float:
        """Seconds from a logout to the first refusal."""
        began = time.perf_counter()
        async with self._session.post(
            f"{self._api}/auth/logout", headers={"Authorization": f"Bearer {token}"}
        ) as answer:
            if answer.status != 204:
                raise NotMeasured(f"a logout was answered {answer.status}")
        while await self._status(token) != 401:
            if time.perf_counter() - began > GIVE_UP_SECONDS:
                raise NotMeasured("a token of a session that has ended is still served")
            await asyncio.sleep(LOOK_SECONDS)
        return time.perf_counter() - began

    async def _status(self, token: str) -> int:
        headers = {"Authorization": f"Bearer {token}"}
        async with self._session.get(self._read.url, headers=headers) as answer:
            await answer.read()
            return answer.status


async def measure(
    requests: dict[str, Request], *, count: int, clients: int, at_once: int
) -> tuple[list[float], float]:
    """Seconds of each revocation, sorted, and requests per second of the load meanwhile."""
    async with ClientSession(
        cookie_jar=DummyCookieJar(), connector=TCPConnector(limit=0)
    ) as session:
        revocations = Revocations(session, requests)
        waiting = await revocations.log_in(count)
        load = [asyncio.create_task(revocations.keep_asking()) for _ in range(clients)]
        seconds: list[float] = []

        async def work() -> None:
            while waiting:
                seconds.append(await revocations.revoke(waiting.pop()))

        began = time.perf_counter()
        await asyncio.gather(*(work() for _ in range(at_once)))
        rate = revocations.served / (time.perf_counter() - began)
        for task in load:
            task.cancel()
        await asyncio.gather(*load, return_exceptions=True)
    return sorted(seconds), rate


def main() -> int:
    """Prints the figures; returns 1 when they are too high or could not be measured."""
    parser = argparse.ArgumentParser(prog="bench.revocation", description=__doc__)
    parser.add_argument("--count", type=int, default=1_000, help="revocations")
    parser.add_argument("--clients", type=int, default=16, help="that ask for tasks meanwhile")
    parser.add_argument("--at-once", type=int, default=4, help="revocations under way together")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    options = parser.parse_args()
    cores = Cores.split()
    with tempfile.TemporaryDirectory(prefix="tasklane-bench-") as name:
        try:
            with running_system(Path(name) / "system", cores.measured) as system:
                seconds, rate = asyncio.run(
                    measure(
                        system.requests,
                        count=options.count,
                        clients=options.clients,
                        at_once=options.at_once,
                    )
                )
        except NotMeasured as error:
            print(f"cannot measure: {error}", file=sys.stderr)
            return 1
    figures = {
        "revocations": len(seconds),
        "load_requests_per_second": round(rate, 1),
        "p50_ms": at_share(seconds, 0.5),
        "p99_ms": at_share(seconds, 0.99),
        "max_ms": at_share(seconds, 1.0),
    }
    for label, value in figures.items():
        print(f"{label:26} {value}")
    if options.json:
        options.json.write_text(json.dumps(figures))
    return 0 if figures["p99_ms"] < WANTED_P99_SECONDS * 1_000 else 1


def at_share(ordered: list[float], share: float) -> float:
    """The value that `share` of all do not exceed, in milliseconds."""
    place = max(0, min(len(ordered) - 1, int(len(ordered) * share + 0.999) - 1))
    return round(ordered[place] * 1_000, 1)


if __name__ == "__main__":
    raise SystemExit(main())
