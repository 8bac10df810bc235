"""A replica whose clock is set forward or back: what it may end, lift or let live on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from services.auth import browser, handlers, internal, purging
from services.auth.repository import database_clock
from shared.clock import utc_now
from tests.service.auth.browsers import Browser
from tests.service.auth.conftest import Auth, error_of

WRONG = "seven-lazy-badgers-sing"


class Clock:
    """The wall clock of every part of the service that reads it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch

    def step(self, **by: float) -> None:
        """Sets it so far from the right time; nothing sets it right."""

        def stepped() -> datetime:
            return datetime.now(UTC) + timedelta(**by)

        for module in (handlers, internal, browser, purging, database_clock):
            self._monkeypatch.setattr(module, "utc_now", stepped)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


async def exchanged(visitor: Browser, service_token: str, **credential: str) -> int:
    """The answer to a gateway that bought its token while the clock was right."""
    answer = await visitor.auth.client.post(
        "/internal/exchange",
        json=credential or {"session": visitor.cookies["session"]},
        headers={"X-Service-Token": service_token},
    )
    return answer.status


async def locked(auth: Auth) -> tuple[int, str]:
    return await error_of(await auth.log_in("ada@example.com", WRONG))


@pytest.mark.parametrize("days", [-1, 1, 400])
async def test_no_step_lifts_a_lock_or_makes_it_longer(auth: Auth, clock: Clock, days: int) -> None:
    for _ in range(5):
        await auth.log_in("ada@example.com", WRONG)
    assert await locked(auth) == (423, "ACCOUNT_LOCKED")
    clock.step(days=days)
    answer = await auth.log_in("ada@example.com", WRONG)
    assert await error_of(answer) == (423, "ACCOUNT_LOCKED")
    assert int(answer.headers["Retry-After"]) <= 900


@pytest.mark.parametrize("days", [-1, 1])
async def test_a_lock_set_by_a_replica_that_is_wrong_is_as_long_as_any(
    auth: Auth, clock: Clock, days: int
) -> None:
    clock.step(days=days)
    for _ in range(5):
        await auth.log_in("ada@example.com", WRONG)
    clock.step()
    answer = await auth.log_in("ada@example.com", WRONG)
    assert await error_of(answer) == (423, "ACCOUNT_LOCKED")
    assert int(answer.headers["Retry-After"]) <= 900


async def test_steps_between_guesses_give_no_more_of_them(auth: Auth, clock: Clock) -> None:
    verdicts = []
    for days in (0, 1, -1, 2, -2, 0, 30):
        clock.step(days=days)
        verdicts.append((await auth.log_in("ada@example.com", WRONG)).status)
    assert verdicts == [401] * 5 + [423] * 2


async def test_a_clock_set_back_lets_no_session_or_key_live_on(auth: Auth, clock: Clock) -> None:
    grant = await auth.register("ada@example.com")
    visitor = Browser(auth)
    await visitor.log_in("ada@example.com")
    service = (await (await auth.service_token()).json())["access_token"]
    made = await auth.post("api-keys", {"name": "bot"}, token=grant["access_token"])
    key = (await made.json())["key"]
    await auth.sql("UPDATE sessions SET idle_expires_at = now() - interval '1 minute'")
    await auth.sql("UPDATE api_keys SET expires_at = now() - interval '1 minute'")
    clock.step(days=-1)
    assert (await auth.refresh(grant["refresh_token"])).status == 401
    assert (await auth.profile(grant["access_token"])).status == 401
    assert await exchanged(visitor, service) == 404
    assert await exchanged(visitor, service, api_key=key) == 404


async def test_a_clock_set_forward_refuses_sessions_and_ends_none(auth: Auth, clock: Clock) -> None:
    grant = await auth.register("ada@example.com")
    visitor = Browser(auth)
    await visitor.log_in("ada@example.com")
    service = (await (await auth.service_token()).json())["access_token"]
    clock.step(days=8)
    assert (await auth.refresh(grant["refresh_token"])).status == 401
    assert await exchanged(visitor, service) == 404
    clock.step()
    assert (await auth.refresh(grant["refresh_token"])).status == 200
    assert await exchanged(visitor, service) == 200


async def test_use_at_a_replica_that_is_behind_brings_no_end_nearer(
    auth: Auth, clock: Clock
) -> None:
    grant = await auth.register("ada@example.com")
    [before] = await auth.sql("SELECT idle_expires_at, used_at FROM sessions")
    clock.step(days=-1)
    assert (await auth.refresh(grant["refresh_token"])).status == 200
    [after] = await auth.sql("SELECT idle_expires_at, used_at FROM sessions")
    assert tuple(after) == tuple(before)


async def test_a_replica_that_is_ahead_removes_nothing_early(auth: Auth, clock: Clock) -> None:
    grant = await auth.register("ada@example.com")
    await auth.log_in("ada@example.com", WRONG)
    await auth.post("logout", {"all": True}, token=grant["access_token"])
    clock.step(days=400)
    assert await auth.purge(utc_now() + timedelta(days=400)) == 0
    clock.step()
    assert await auth.purge(utc_now() + timedelta(days=8)) > 0
