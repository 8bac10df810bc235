"""WORKERS=2: real processes on one port, killed, reloaded and ended."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientError, ClientSession, TCPConnector, web

from services.gateway.settings import Settings
from services.gateway.workers.supervisor import supervise
from shared.process import StartRefused
from shared.settings import load
from tests.ports import free_port
from tests.service.gateway.door import GENEROUS, Upstream, upstream

ROOT = Path(__file__).resolve().parents[3]
ROUTE = """
[[routes]]
prefix = "/{name}"
upstream = "tasks"
auth = "none"
"""


class Workers:
    """A supervisor with two workers; `session` opens a connection for every request."""

    def __init__(
        self, process: subprocess.Popen[bytes], output: Path, ports: tuple[int, int]
    ) -> None:
        self.process = process
        self._output = output
        self.url, self.ops_url = (f"http://127.0.0.1:{port}" for port in ports)
        self.session = ClientSession(connector=TCPConnector(force_close=True, limit=0))

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._output.read_bytes().splitlines()]

    @property
    def pids(self) -> dict[int, int]:
        """The process of each worker, as the log tells it."""
        return {
            line["worker"]: line["pid"]
            for line in self.lines
            if line["event"] == "started" and "worker" in line
        }

    async def status(self, path: str) -> int:
        async with self.session.get(self.url + path) as answer:
            await answer.read()
            return answer.status

    async def ops(self, path: str) -> tuple[int, str]:
        with contextlib.suppress(ClientError):
            async with self.session.get(self.ops_url + path) as answer:
                return answer.status, await answer.text()
        return 0, ""

    async def served(self) -> dict[str, float]:
        """Requests by worker, as the metrics of the supervisor have them."""
        _, text = await self.ops("/metrics")
        found: dict[str, float] = {}
        for worker, count in re.findall(
            r'^http_requests_total\{worker="(\d)",.* (\S+)$', text, re.MULTILINE
        ):
            found[worker] = found.get(worker, 0) + float(count)
        return found

    async def is_ready(self) -> bool:
        return (await self.ops("/health/ready"))[0] == 200


async def until(holds: Callable[[], Any]) -> None:
    async with asyncio.timeout(30):
        while not await holds():  # noqa: ASYNC110 - other processes have no event of ours
            await asyncio.sleep(0.02)


def gone(pid: int) -> bool:
    """Whether the process has ended; one that nobody waits for yet has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] == "Z"
    except OSError:
        return True


@pytest.fixture
async def service() -> AsyncIterator[Upstream]:
    async with upstream() as started:
        yield started


@pytest.fixture
async def workers(tmp_path: Path, service: Upstream, redis_url: str) -> AsyncIterator[Workers]:
    """Ready; whatever is left of it in the end is killed."""
    config = tmp_path / "gateway.toml"
    config.write_text(GENEROUS + ROUTE.format(name="one"))
    ports = free_port(), free_port()
    environment = os.environ | {
        "ENVIRONMENT": "development",
        "WORKERS": "2",
        "REDIS_URL": redis_url,
        "GATEWAY_CONFIG": str(config),
        "GATEWAY_PORT": str(ports[0]),
        "GATEWAY_OPS_PORT": str(ports[1]),
        "AUTH_UPSTREAM": service.url,
        "TASKS_UPSTREAM": service.url,
        "DRAIN_SECONDS": "0.3",
    }
    output = tmp_path / "output"
    with output.open("wb") as stdout:
        process = subprocess.Popen(  # noqa: ASYNC220 - as quick as any way to begin one
            [sys.executable, "-m", "services.gateway"], cwd=ROOT, env=environment, stdout=stdout
        )
    running = Workers(process, output, ports)
    try:
        await until(running.is_ready)
        yield running
    finally:
        await running.session.close()
        for pid in running.pids.values():
            if not gone(pid):
                os.kill(pid, signal.SIGKILL)
        process.kill()
        process.wait()


async def test_two_workers_serve_reload_are_replaced_and_end(
    workers: Workers, service: Upstream, tmp_path: Path
) -> None:
    async def both_have_served() -> bool:
        statuses = await asyncio.gather(*(workers.status("/api/v1/one") for _ in range(20)))
        assert set(statuses) == {200}
        return len(await workers.served()) == 2

    await until(both_have_served)
    before = workers.pids
    assert len(set(before.values()) | {workers.process.pid}) == 3

    # One is killed with requests under way: those on it are lost, and nothing else is.
    release = asyncio.Event()

    async def held(_request: web.Request) -> web.Response:
        await release.wait()
        return web.json_response({})

    service.answers["/v1/one/held"] = held
    under_way = [asyncio.create_task(workers.status("/api/v1/one/held")) for _ in range(20)]

    async def all_arrived() -> bool:
        return sum(seen.path == "/v1/one/held" for seen in service.seen) >= 20

    await until(all_arrived)
    os.kill(before[0], signal.SIGKILL)
    later = [await workers.status("/api/v1/one") for _ in range(20)]
    assert set(later) == {200}

    # A reload reaches the other one, and the next one however far its start is.
    async def next_begun() -> bool:
        begun = [line["worker"] for line in workers.lines if line["event"] == "worker_begun"]
        return begun.count(0) == 2

    async def both_have_taken_it() -> bool:
        taken = {line.get("worker") for line in workers.lines if line["event"] == "config_taken"}
        return taken == {0, 1}

    await until(next_begun)
    (tmp_path / "gateway.toml").write_text(GENEROUS + ROUTE.format(name="two"))
    workers.process.send_signal(signal.SIGHUP)
    await until(both_have_taken_it)

    async def replaced() -> bool:
        return workers.pids[0] != before[0] and await workers.is_ready()

    await until(replaced)
    assert workers.pids[1] == before[1]
    assert {await workers.status("/api/v1/one") for _ in range(10)} == {404}
    release.set()
    outcomes = await asyncio.gather(*under_way, return_exceptions=True)
    lost = [outcome for outcome in outcomes if outcome != 200]
    assert all(isinstance(outcome, ClientError) for outcome in lost)
    metrics = (await workers.ops("/metrics"))[1]
    assert 'gateway_worker_restarts_total{worker="0"} 1.0' in metrics
    assert 'process_start_time_seconds{worker="supervisor"}' in metrics
    report = json.loads((await workers.ops("/health"))[1])
    assert report["status"] == "healthy"
    assert set(report["checks"]) == {"worker-0", "worker-1"}

    # The end: not ready, still serving, then nobody is left and the port is closed.
    workers.process.send_signal(signal.SIGTERM)

    async def is_not_ready() -> bool:
        return (await workers.ops("/health/ready"))[0] == 503

    await until(is_not_ready)
    assert await workers.status("/api/v1/two") == 200
    assert await asyncio.to_thread(workers.process.wait, 20) == 0
    assert all(gone(pid) for pid in workers.pids.values())
    with pytest.raises(ClientError):
        await workers.status("/api/v1/two")


async def test_workers_do_not_outlive_their_supervisor(workers: Workers) -> None:
    pids = workers.pids
    workers.process.kill()

    async def all_gone() -> bool:
        return all(gone(pid) for pid in pids.values())

    await until(all_gone)


async def test_what_a_worker_refuses_the_supervisor_refuses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in {
        "ENVIRONMENT": "development",
        "WORKERS": "2",
        "REDIS_URL": "no-url",
        "GATEWAY_PORT": "0",
        "GATEWAY_OPS_PORT": "0",
    }.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(StartRefused, match="a worker cannot start"):
        async with supervise(load(Settings)):
            pass
