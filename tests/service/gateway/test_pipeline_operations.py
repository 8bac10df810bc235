"""How the gateway starts, reloads, counts on Redis and drains."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from services.gateway.app import running
from services.gateway.settings import Settings
from shared.process import StartRefused
from tests import tokens
from tests.ports import free_port
from tests.service.gateway.door import GENEROUS, Upstream, door, upstream

ROUTE = """
[[routes]]
prefix = "/{name}"
upstream = "tasks"
auth = "none"
"""


@pytest.fixture
async def service() -> AsyncIterator[Upstream]:
    async with upstream() as started:
        yield started


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "gateway.toml"
    path.write_text(GENEROUS + ROUTE.replace("{name}", "one"))
    return path


def rewrite(config: Path, text: str | None) -> None:
    """Replaces the file; None takes it away."""
    if text is None:
        config.unlink()
    else:
        config.write_text(text)


async def reload() -> None:
    os.kill(os.getpid(), signal.SIGHUP)
    await asyncio.sleep(0.05)


async def test_a_reload_swaps_everything_at_once(config: Path, service: Upstream) -> None:
    async with door(config, service) as gateway:
        assert (await gateway.get("/api/v1/one"))[0].status == 200
        rewrite(config, GENEROUS + ROUTE.replace("{name}", "two"))
        await reload()
        assert (await gateway.get("/api/v1/one"))[0].status == 404
        assert (await gateway.get("/api/v1/two"))[0].status == 200
        metrics = await gateway.metrics()
        assert 'config_reloads_total{result="taken"} 1.0' in metrics
        assert "config_last_reload_success 1.0" in metrics


@pytest.mark.parametrize("text", ["surprise = 1", "[", '[[routes]]\nprefix = "/x"', None])
async def test_a_bad_file_changes_nothing(
    config: Path, service: Upstream, text: str | None
) -> None:
    async with door(config, service) as gateway:
        rewrite(config, text)
        await reload()
        assert (await gateway.get("/api/v1/one"))[0].status == 200
        metrics = await gateway.metrics()
        assert 'config_reloads_total{result="refused"} 1.0' in metrics
        assert "config_last_reload_success 0.0" in metrics


async def test_a_request_under_way_keeps_the_rules_it_came_under(
    config: Path, service: Upstream
) -> None:
    arrived, go = asyncio.Event(), asyncio.Event()

    async def slow(_request: web.Request) -> web.StreamResponse:
        arrived.set()
        await go.wait()
        return web.json_response({"late": True})

    service.answers["/v1/one"] = slow
    async with door(config, service) as gateway:
        pending = asyncio.create_task(gateway.get("/api/v1/one"))
        await arrived.wait()
        rewrite(config, GENEROUS + ROUTE.replace("{name}", "two"))
        await reload()
        go.set()
        answer, body = await pending
        assert (answer.status, body) == (200, {"late": True})


async def test_the_start_is_refused_with_every_fault(tmp_path: Path) -> None:
    config = tmp_path / "gateway.toml"
    config.write_text('surprise = 1\n[versions.v1]\nstatus = "new"')
    settings = Settings(port=0, ops_port=0, config=str(config))
    with pytest.raises(StartRefused) as caught:
        async with running(settings):
            pass
    assert "surprise:" in str(caught.value)
    assert "versions.v1.status:" in str(caught.value)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"redis_url": "nonsense://x"}, "REDIS_URL"),
        ({"auth_upstream": "not a url"}, "upstreams.auth.endpoints"),
    ],
)
async def test_settings_that_cannot_work(options: dict[str, str], reason: str) -> None:
    with pytest.raises(StartRefused, match=reason):
        async with running(Settings(port=0, ops_port=0, service_credential="k" * 32, **options)):  # type: ignore[arg-type]
            pass


async def test_production_needs_to_be_told_of_revocations() -> None:
    with pytest.raises(StartRefused, match="SERVICE_CREDENTIAL"):
        async with running(Settings(port=0, ops_port=0)):
            pass


async def test_a_port_that_is_taken(config: Path, service: Upstream) -> None:
    async with door(config, service) as gateway:
        with pytest.raises(StartRefused, match="cannot be bound"):
            async with door(config, service, port=gateway.server.port):
                pass


async def test_gateways_share_one_limit_on_redis(
    tmp_path: Path, service: Upstream, redis_url: str
) -> None:
    config = tmp_path / "gateway.toml"
    config.write_text(
        '[limits.tiers]\nanonymous = ["10/hour"]\ndefault = ["5/hour"]\n'
        + ROUTE.replace("{name}", "one").replace('"none"', '"optional"')
    )
    async with (
        door(config, service, redis_url=redis_url) as one,
        door(config, service, redis_url=redis_url) as other,
    ):
        gateways = [one, other] * 15
        answers = await asyncio.gather(*(gateway.get("/api/v1/one") for gateway in gateways))
        assert sum(answer.status == 200 for answer, _ in answers) == 10
        assert sum(answer.status == 429 for answer, _ in answers) == 20
        token = tokens.token()
        statuses = [
            (await gateway.get("/api/v1/one", token=token))[0].status for gateway in gateways[:7]
        ]
        assert statuses == [200] * 5 + [429] * 2
        _, body = await other.get("/api/rate-limit-status", token=token)
        assert body["policies"][0]["remaining"] == 0


async def test_ready_only_with_keys(config: Path, service: Upstream) -> None:
    async with door(config, service) as gateway, asyncio.timeout(5):
        while not await gateway.health.ready():  # noqa: ASYNC110 - nobody tells when it is
            await asyncio.sleep(0.01)
    nowhere = f"http://127.0.0.1:{free_port()}/jwks.json"
    async with door(config, service, jwks_url=nowhere) as gateway:
        assert not await gateway.health.ready()
        # What needs no identity works all the same.
        assert (await gateway.get("/api/v1/one"))[0].status == 200


async def test_without_keys_a_token_cannot_be_judged(tmp_path: Path, service: Upstream) -> None:
    config = tmp_path / "gateway.toml"
    config.write_text(GENEROUS)
    nowhere = f"http://127.0.0.1:{free_port()}/jwks.json"
    async with door(config, service, jwks_url=nowhere) as gateway:
        answer, body = await gateway.get("/api/v1/tasks", token=tokens.token())
        assert (answer.status, body["error"]["code"]) == (503, "SERVICE_UNAVAILABLE")
        assert service.seen == []


async def test_behind_a_trusted_proxy_clients_are_told_apart(
    tmp_path: Path, service: Upstream
) -> None:
    config = tmp_path / "gateway.toml"
    config.write_text('[limits.tiers]\nanonymous = ["1/hour"]\n' + ROUTE.replace("{name}", "one"))
    async with door(config, service, trusted_proxies="127.0.0.0/8") as gateway:
        statuses = []
        for client in ("192.0.2.1", "192.0.2.1", "192.0.2.2", "6.6.6.6, 192.0.2.2"):
            answer, _ = await gateway.get("/api/v1/one", headers={"X-Forwarded-For": client})
            statuses.append(answer.status)
        assert statuses == [200, 429, 200, 429]
    async with door(config, service) as gateway:
        statuses = []
        for client in ("192.0.2.1", "192.0.2.2"):
            answer, _ = await gateway.get("/api/v1/one", headers={"X-Forwarded-For": client})
            statuses.append(answer.status)
        assert statuses == [200, 429]


async def test_while_draining_clients_are_told_to_go_elsewhere(
    config: Path, service: Upstream
) -> None:
    async with door(config, service) as gateway:
        answer, _ = await gateway.get("/api/v1/one")
        assert answer.headers.get("Connection") != "close"
        gateway.health.draining = True
        assert not await gateway.health.ready()
        async with asyncio.timeout(5):
            while answer.headers.get("Connection") != "close":
                answer, _ = await gateway.get("/api/v1/one")
                assert answer.status == 200
                await asyncio.sleep(0.01)
