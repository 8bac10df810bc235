"""The benchmark's arithmetic, and that it reads what its tools print."""

import asyncio
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from bench.clients import read_wrk
from bench.figures import Figure, Report, merged
from bench.load import Load, Served
from bench.open_loop import Open, OpenLoop
from bench.processes import NotMeasured, cpu_seconds
from bench.tables import describe, errors, number, ratio, table
from bench.wire import Request

WRK = """Running 2s test @ http://127.0.0.1:1/api
  1 threads and 32 connections
    Latency     1.19ms  361.48us   9.30ms   88.29%
  51234 requests in 2.10s, 20.00MB read
{errors}Requests/sec:  24397.14
"""
ERRORS = "  Socket errors: connect 1, read 2, write 3, timeout 4\n  Non-2xx or 3xx responses: 5\n"


def figure(requests: int, cpu: float) -> Figure:
    return Figure("front door", "x", "proxy", 32, requests, 1, 2.0, {"door": cpu, "postgres": 9})


def test_what_wrk_prints_is_read_with_its_errors() -> None:
    assert read_wrk(WRK.format(errors="")) == Served(51234, 0, 2.1)
    faults = {"connect": 1, "read": 2, "write": 3, "time-out": 4, "no 2xx": 5}
    assert read_wrk(WRK.format(errors=ERRORS)) == Served(51234, 15, 2.1, faults)
    with pytest.raises(NotMeasured, match="unable to connect"):
        read_wrk("unable to connect to 127.0.0.1:1 Connection refused")


def test_rounds_are_weighed_by_their_requests() -> None:
    both = merged([figure(100, 10.0), figure(300, 30.0)])
    assert both.cpu_us["door"] == 25.0
    assert (both.requests, both.errors, both.seconds) == (400, 2, 4.0)
    assert both.rate == 100
    assert both.own_us == 25.0


def test_a_case_without_a_request_is_no_division_by_zero() -> None:
    assert merged([figure(0, 0.0)]).cpu_us["door"] == 0
    assert ratio(5, None) == ratio(5, 0) == "-"
    assert number(float("nan")) == "-"


def test_tables_are_aligned() -> None:
    text = table(["a", "b", "c"], [["long name", "", number(12345)], ["x", "y", "1"]])
    lines = text.splitlines()
    assert lines[0] == "a          b       c"
    assert lines[2].endswith("12 345")
    assert len(lines[2]) == len(lines[3])


def test_a_report_is_written_whole(tmp_path: Path) -> None:
    report = Report({"system": "a machine"}, [figure(100, 10.0)], left_out=["HAProxy: missing"])
    report.figures[0].resident_mib["door"] = 66.0
    report.write(tmp_path / "figures.json")
    found = json.loads((tmp_path / "figures.json").read_text())
    assert found["figures"][0]["requests_per_second"] == 50
    assert "HAProxy: missing" in describe(report)


def test_a_request_is_encoded_with_its_length() -> None:
    request = Request("http://127.0.0.1:81/a?b=c", "POST", {"X-A": "1"}, "é")
    assert request.address == ("127.0.0.1", 81)
    head, _, body = request.encode().partition(b"\r\n\r\n")
    assert head.split(b"\r\n")[0] == b"POST /a?b=c HTTP/1.1"
    assert b"Content-Length: 2" in head
    assert b"Host: 127.0.0.1:81" in head
    assert body == "é".encode()


def test_errors_are_told_by_their_kind() -> None:
    one, other = figure(1, 1.0), figure(1, 1.0)
    assert errors(one) == "1"
    both = merged([replace(one, faults={"time-out": 1}), replace(other, faults={"no 2xx": 1})])
    assert errors(both) == "2: 1 time-out, 1 no 2xx"


async def test_the_same_rate_is_spread_over_all_busy_connections() -> None:
    used: list[asyncio.Protocol] = []

    class Good(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            assert isinstance(transport, asyncio.Transport)
            self._transport = transport

        def data_received(self, data: bytes) -> None:
            used.append(self)
            self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    server = await asyncio.get_running_loop().create_server(Good, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    latency = await OpenLoop(Request(url), 200, Open(5, 3), os.getpid()).run(0.2)
    assert (latency.answered, latency.errors) == (40, 0)
    counts = {connection: used.count(connection) for connection in used}
    assert len(counts) == 5
    assert sum(counts.values()) == 40 + 3 * 5
    server.close()
    await asyncio.sleep(0.05)


def test_cpu_time_only_grows_and_a_process_that_is_gone_has_none() -> None:
    before = cpu_seconds(os.getpid())
    sum(range(1_000_000))
    assert cpu_seconds(os.getpid()) >= before > 0
    assert cpu_seconds(2**22 + 1) == 0


class TwiceGood(asyncio.Protocol):
    """Answers 200 twice, then 500, then ends the connection."""

    def __init__(self) -> None:
        self._answers = [b"200 OK", b"200 OK", b"500 No"]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if not self._answers:
            self._transport.close()
            return
        status = self._answers.pop(0)
        self._transport.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 2\r\n\r\n{}")


async def test_both_clients_count_every_answer_that_is_not_good() -> None:
    server = await asyncio.get_running_loop().create_server(TwiceGood, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    served = await Load([Request(url)], 1).run(0.2)
    assert served.requests > served.errors > 0
    assert set(served.faults) == {"status 500", "no answer"}
    latency = await OpenLoop(Request(url), 200).run(0.3)
    assert latency.errors > 0
    assert latency.achieved > 0
    server.close()
    # The servers' ends see the clients go.
    await asyncio.sleep(0.05)


async def test_a_server_that_is_not_there_is_an_error_and_not_a_hang() -> None:
    served = await Load([Request("http://127.0.0.1:9/")], 2).run(0.1)
    assert served.requests == 0
    assert served.errors > 0
