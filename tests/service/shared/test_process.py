"""The life of a process, in real ones: refusing to start, draining, stopping, being hurried."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from tests.ports import free_port

PROGRAM = "tests.service.shared.program"
GOOD = {"SAMPLE_SECRET": "a good one", "SHUTDOWN_SECONDS": "5"}


class Program:
    """A running process; `lines` are those that it has logged so far."""

    def __init__(self, process: asyncio.subprocess.Process, port: int, ops_port: int) -> None:
        self.process = process
        self.url = f"http://127.0.0.1:{port}"
        self.ops_url = f"http://127.0.0.1:{ops_port}"
        self.lines: list[dict[str, Any]] = []

    async def logged(self, event: str) -> dict[str, Any]:
        """Waits for the line that says `event`."""
        assert self.process.stdout is not None
        async with asyncio.timeout(20):
            async for text in self.process.stdout:
                self.lines.append(json.loads(text))
                if self.lines[-1]["event"] == event:
                    return self.lines[-1]
        raise AssertionError(f"{event} is not in {self.lines}")

    async def ended(self) -> tuple[int, str]:
        """The exit code, and what was written to standard error."""
        async with asyncio.timeout(20):
            shown, complaint = await self.process.communicate()
        self.lines += [json.loads(line) for line in shown.splitlines()]
        assert self.process.returncode is not None
        return self.process.returncode, complaint.decode()


@asynccontextmanager
async def program(*arguments: str, **environment: str) -> AsyncIterator[Program]:
    port, ops_port = free_port(), free_port()
    settings = {"SAMPLE_PORT": str(port), "SAMPLE_OPS_PORT": str(ops_port), **GOOD, **environment}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        PROGRAM,
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={"PATH": os.environ["PATH"], **settings},
    )
    try:
        yield Program(process, port, ops_port)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_bad_settings_are_told_all_at_once_with_exit_code_78() -> None:
    async with program(
        SAMPLE_PORT="http", SAMPLE_SECRET="default", SAMPLE_OPS_PORT="", LOG_LEVEL="LOUD"
    ) as sample:
        code, complaint = await sample.ended()
    assert code == 78
    assert complaint.splitlines() == [
        "sample cannot start:",
        "  LOG_LEVEL: Must be one of: DEBUG, INFO, WARNING, ERROR.",
        "  SAMPLE_OPS_PORT: Must be set.",
        "  SAMPLE_PORT: Not a valid integer.",
        "  SAMPLE_SECRET: Must not be the default.",
    ]


async def test_a_refused_start_says_why_with_exit_code_78() -> None:
    async with program("refuse") as sample:
        code, complaint = await sample.ended()
    assert code == 78
    assert complaint == "sample cannot start:\n  the database is too old:\n  run migrate\n"


@pytest.mark.parametrize("taken", ["SAMPLE_PORT", "SAMPLE_OPS_PORT"])
async def test_a_port_that_is_taken_is_named(taken: str) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        number = str(other.getsockname()[1])
        async with program(**{taken: number}) as sample:
            code, complaint = await sample.ended()
    assert code == 78
    assert f"127.0.0.1:{number} cannot be bound" in complaint
    assert "Traceback" not in complaint


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_drains_and_a_request_under_way_is_answered(
    number: signal.Signals,
) -> None:
    async with program() as sample, aiohttp.ClientSession() as client:
        await sample.logged("started")
        under_way = asyncio.create_task(client.get(f"{sample.url}/v1/slow").__aenter__())
        await sample.logged("entered")
        sample.process.send_signal(number)
        assert (await under_way).status == 204
        code, complaint = await sample.ended()
    assert (code, complaint) == (0, "")
    events = [line["event"] for line in sample.lines]
    assert "closed" in events
    assert events[-1] == "stopped"


async def test_while_draining_it_serves_and_says_that_it_is_not_ready() -> None:
    async with program(DRAIN_SECONDS="60") as sample, aiohttp.ClientSession() as client:
        await sample.logged("started")
        async with client.get(f"{sample.ops_url}/health/ready") as answer:
            assert answer.status == 200
        sample.process.terminate()
        await sample.logged("draining")
        async with client.get(f"{sample.ops_url}/health/ready") as answer:
            assert answer.status == 503
        async with client.get(f"{sample.url}/health/accepting") as answer:
            assert answer.status == 503
        async with client.get(f"{sample.ops_url}/health/live") as answer:
            assert answer.status == 200
        async with client.get(f"{sample.url}/v1/slow") as answer:
            assert answer.status == 204
            assert answer.headers["Connection"] == "close"
        sample.process.terminate()
        assert await sample.process.wait() == 1


async def test_nobody_who_reached_it_while_it_stops_is_left_without_an_answer() -> None:
    """A proxy that knows of its end only what its answers say, and sends what it may not repeat."""
    async with program(DRAIN_SECONDS="0.3") as sample:
        await sample.logged("started")
        port = int(sample.url.rpartition(":")[2])
        ended = asyncio.create_task(sample.ended())
        senders = [asyncio.create_task(sends_on(port)) for _ in range(8)]
        await asyncio.sleep(0.2)
        sample.process.terminate()
        async with asyncio.timeout(20):
            answered = await asyncio.gather(*senders)
        assert min(answered) > 0
        assert (await ended)[0] == 0


async def sends_on(port: int) -> int:
    """Sends until it cannot connect any more; how many answers came. None may fail to come."""
    answered = 0
    while True:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        except ConnectionRefusedError:
            return answered
        head = b""
        while b"connection: close" not in head.lower():
            writer.write(b"POST /v1/none HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"(?i)content-length: (\d+)", head)
            assert length is not None
            await reader.readexactly(int(length[1]))
            answered += 1
            await asyncio.sleep(0.001)
        writer.close()


async def test_a_second_signal_ends_it_at_once() -> None:
    async with program(SHUTDOWN_SECONDS="60") as sample, aiohttp.ClientSession() as client:
        await sample.logged("started")
        under_way = asyncio.create_task(client.get(f"{sample.url}/v1/stuck").__aenter__())
        await sample.logged("entered")
        sample.process.terminate()
        await sample.logged("draining")
        sample.process.terminate()
        code, _ = await sample.ended()
        assert code == 1
        with pytest.raises(aiohttp.ClientError):
            await under_way


async def test_a_request_that_does_not_end_is_cut_off_in_time() -> None:
    async with program(SHUTDOWN_SECONDS="0.2") as sample, aiohttp.ClientSession() as client:
        await sample.logged("started")
        under_way = asyncio.create_task(client.get(f"{sample.url}/v1/stuck").__aenter__())
        await sample.logged("entered")
        sample.process.terminate()
        with pytest.raises(aiohttp.ClientError):
            await under_way
        code, _ = await sample.ended()
    assert code == 0


async def test_a_background_job_that_dies_is_reported() -> None:
    async with program("dying") as sample:
        line = await sample.logged("background_job_died")
        assert line["level"] == "error"
        assert "a job of the background" in line["exception"]
        sample.process.terminate()
        assert (await sample.ended())[0] == 0


async def test_every_line_is_json_and_access_lines_are_not_lost_at_the_end() -> None:
    async with program() as sample, aiohttp.ClientSession() as client:
        await sample.logged("started")
        async with client.get(f"{sample.url}/nowhere", headers={"X-Request-ID": "last"}) as answer:
            assert answer.status == 404
        sample.process.terminate()
        assert await sample.ended() == (0, "")
    assert [line["path"] for line in sample.lines if line.get("request_id") == "last"] == [
        "/nowhere"
    ]
    assert {line["service"] for line in sample.lines} == {"sample"}


async def test_what_the_start_has_made_is_not_looked_through_for_garbage() -> None:
    async with program() as running:
        await running.logged("started")
        async with aiohttp.ClientSession() as session:
            async with session.get(f"{running.url}/v1/memory") as answer:
                assert answer.status == 204
        asked = await running.logged("asked")
    assert asked["kept"] > 10_000
    assert asked["each"] > 700
