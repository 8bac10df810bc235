"""What every request passes: failures after the answer began, clients that leave, ids and logs."""

from __future__ import annotations

import asyncio

import aiohttp
import orjson
import pytest
from structlog.testing import capture_logs

from tests.service.shared.conftest import AUTHORIZED, Running, Start, error_of


async def count(running: Running, **labels: str) -> float:
    return running.registry.get_sample_value("http_requests_total", labels) or 0.0


async def booked(running: Running, **labels: str) -> None:
    """Waits until a request with these labels has been counted."""
    async with asyncio.timeout(10):
        while not await count(running, **labels):  # noqa: ASYNC110 - a counter tells nobody
            await asyncio.sleep(0.01)


async def waiting(running: Running, requests: int) -> None:
    """Waits until so many requests are being served."""
    async with asyncio.timeout(10):
        while running.registry.get_sample_value("http_requests_in_flight") != requests:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_an_unhandled_exception_leaks_nothing_in_production(running: Running) -> None:
    async with running.client.get("/v2/crash") as answer:
        text = await answer.text()
        assert answer.status == 500
        error = error_of(orjson.loads(text), "INTERNAL_ERROR")
        assert error["details"] == {}
        assert error["message"] == "Internal server error"
        for secret in ("hunter2", "RuntimeError", "Traceback", ".py"):
            assert secret not in text


async def test_it_shows_its_traceback_in_development(start: Start) -> None:
    async with start(environment="development") as running:
        async with running.client.get("/v2/crash") as answer:
            assert answer.status == 500
            details = error_of(await answer.json(), "INTERNAL_ERROR")["details"]
            assert "RuntimeError" in details["exception"]
            assert "Traceback" in details["traceback"]
            assert "sample.py" in details["traceback"]


async def test_an_unhandled_exception_is_in_the_log(running: Running) -> None:
    with capture_logs() as logged:
        async with running.client.get("/v2/crash") as answer:
            assert answer.status == 500
    (line,) = logged
    assert (line["event"], line["log_level"]) == ("unhandled_exception", "error")
    assert line["route"] == "/v2/crash"
    assert line["exc_info"]


async def test_a_connection_of_our_own_that_fails_is_an_error_and_no_silence(
    running: Running,
) -> None:
    async with running.client.get("/v2/refused-elsewhere") as answer:
        assert answer.status == 500
        assert "10.0.0.1" not in await answer.text()
        error_of(await answer.json(), "INTERNAL_ERROR")
    assert await count(running, method="GET", route="/v2/refused-elsewhere", status="500") == 1


@pytest.mark.parametrize("path", ["/v2/broken-stream", "/v2/refused-stream"])
async def test_a_failure_after_the_body_began_breaks_the_transfer_at_once(
    running: Running, path: str
) -> None:
    async with asyncio.timeout(5):
        async with running.client.get(path, headers={"X-Request-ID": "half"}) as answer:
            assert answer.status == 200
            assert answer.headers["X-Request-ID"] == "half"
            with pytest.raises(aiohttp.ClientError):
                await answer.read()


async def test_after_a_broken_transfer_others_are_served(running: Running) -> None:
    for _ in range(3):
        with pytest.raises(aiohttp.ClientError):
            async with running.client.get("/v2/broken-stream") as answer:
                await answer.read()
    async with running.client.get("/v2/things") as answer:
        assert answer.status == 200


async def test_a_client_that_hangs_up_is_no_500(running: Running) -> None:
    with capture_logs() as logged:
        async with running.connection() as (reader, writer):
            writer.write(b"GET /v2/endless HTTP/1.1\r\nHost: x\r\n\r\n")
            await reader.readexactly(100_000)
        await booked(running, method="GET", route="/v2/endless", status="499")
    assert logged == []


async def test_a_client_that_leaves_in_the_middle_of_its_body_is_no_500(
    running: Running,
) -> None:
    with capture_logs() as logged:
        async with running.connection() as (_, writer):
            writer.write(
                b"POST /v2/things HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                b'Content-Length: 1000\r\n\r\n{"title":'
            )
            await writer.drain()
            await waiting(running, 1)
        await waiting(running, 0)
    assert logged == []
    assert await count(running, method="POST", route="/v2/things", status="500") == 0


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v2/things", 200),
        ("/v2/things?page=0", 422),
        ("/v2/private", 401),
        ("/v2/crash", 500),
        ("/v2/stream", 200),
        ("/nowhere", 404),
        ("/v2/things/import", 405),
        ("/v2/openapi.json", 200),
        ("/health/live", 200),
    ],
)
async def test_the_request_id_is_on_every_answer(running: Running, path: str, status: int) -> None:
    async with running.client.get(path, headers={"X-Request-ID": "mine-7"}) as answer:
        assert answer.status == status
        assert answer.headers["X-Request-ID"] == "mine-7"
        if status >= 400:
            assert (await answer.json())["error"]["request_id"] == "mine-7"
    async with running.client.get(path) as answer:
        made = answer.headers["X-Request-ID"]
        assert len(made) == 32
        if status >= 400:
            assert (await answer.json())["error"]["request_id"] == made


@pytest.mark.parametrize("offered", ["x" * 129, "caf\u00e9", "a\tb"])
async def test_a_request_id_that_is_no_good_is_replaced(running: Running, offered: str) -> None:
    async with running.client.get("/nowhere", headers={"X-Request-ID": offered}) as answer:
        assert len(answer.headers["X-Request-ID"]) == 32
        assert offered not in await answer.text()


async def test_requests_at_once_keep_their_own_ids(running: Running) -> None:
    async def ask(name: str) -> bool:
        async with running.client.get("/v2/things/7", headers={"X-Request-ID": name}) as answer:
            error = (await answer.json())["error"]
            return bool(answer.headers["X-Request-ID"] == error["request_id"] == name)

    assert all(await asyncio.gather(*(ask(f"id-{at}") for at in range(50))))


async def test_metrics_are_by_template_and_never_by_path(running: Running) -> None:
    for at in range(5):
        async with running.client.get(f"/v2/things/{at}") as answer:
            assert answer.status == 422
        async with running.client.get(f"/secret-{at}") as answer:
            assert answer.status == 404
    assert await count(running, method="GET", route="/v2/things/{thing_id}", status="422") == 5
    assert await count(running, method="GET", route="unmatched", status="404") == 5
    assert running.registry.get_sample_value("http_requests_in_flight") == 0
    routes = {
        sample.labels["route"]
        for family in running.registry.collect()
        for sample in family.samples
        if "route" in sample.labels
    }
    assert routes == {"/v2/things/{thing_id}", "unmatched"}


async def test_one_access_line_for_each_request(
    start: Start, capfd: pytest.CaptureFixture[str]
) -> None:
    async with start() as running:
        asked = {"X-Request-ID": "line-1", **AUTHORIZED}
        async with running.client.get("/v2/private?token=secret", headers=asked) as answer:
            assert answer.status == 422
        async with running.client.get("/v2/crash"):
            pass
    shown = capfd.readouterr().out
    lines = [orjson.loads(line) for line in shown.splitlines() if line.startswith('{"event":"req')]
    assert [(line["path"], line["status"]) for line in lines] == [
        ("/v2/private", 422),
        ("/v2/crash", 500),
    ]
    assert lines[0]["request_id"] == "line-1"
    assert lines[0]["route"] == "/v2/private"
    assert lines[0]["method"] == "GET"
    assert lines[0]["user_id"] == "0199a6f0-c0de-7000-8000-000000000001"
    assert lines[0]["service"] == "sample"
    assert lines[1]["user_id"] is None
    assert lines[0]["duration_ms"] >= 0
    assert AUTHORIZED["Authorization"].removeprefix("Bearer ") not in shown
