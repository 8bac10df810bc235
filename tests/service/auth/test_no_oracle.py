"""No answer, no work and no time tells which accounts there are, or in which state.

Policy: a wrong password is answered alike for every address, whether it is known, unknown, banned,
deleted, verified or not, and so is any password while the address is locked. That an account is
banned is told to who knows its password, and to nobody else.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
from aiohttp import ClientResponse

from services.auth.handlers import STORE
from services.auth.repository import AuthRepository
from shared.request_id import current_request_id
from tests.ranks import mann_whitney
from tests.service.auth.conftest import PASSWORD, Auth, Start

WRONG = "seven-lazy-badgers-sing"
STATES = {
    "unknown": "",
    "known": "UPDATE users SET email_verified = true WHERE email = $1",
    "unverified": "SELECT $1::text",
    "banned": "UPDATE users SET is_active = false WHERE email = $1",
}
PATHS = pytest.mark.parametrize("path", ["login", "session-login"])
# One run in a million fails for no reason; a difference of a twentieth is found all the same.
SIGNIFICANCE = 1e-6
SAMPLES = int(os.environ.get("ORACLE_SAMPLES", "60"))


async def with_accounts(auth: Auth) -> None:
    """One account in each state, and none in the state `unknown`."""
    for state, change in STATES.items():
        if change:
            await auth.register(f"{state}@example.com")
            await auth.sql(change, f"{state}@example.com")


async def shown(answer: ClientResponse) -> tuple[int, bytes, list[tuple[str, str]]]:
    """Status, body and headers as they came, without what names the request and its moment."""
    request_id = answer.headers["X-Request-ID"]
    body = (await answer.read()).replace(request_id.encode(), b"")
    # The seconds left of a lock are fewer for whoever is asked about a moment later.
    headers = [
        (name, "" if name == "Retry-After" else value)
        for name, value in answer.headers.items()
        if name not in ("Date", "X-Request-ID")
    ]
    return answer.status, body, headers


class Counted:
    """A connection that writes down what it is asked."""

    def __init__(self, connection: Any, asked: list[str]) -> None:
        self._connection = connection
        self._asked = asked

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._connection, name)
        if name not in ("execute", "fetch", "fetchrow", "fetchval"):
            return real

        def ask(statement: str, *arguments: Any) -> Any:
            # The service does other things meanwhile, which have no request.
            if current_request_id.get():
                self._asked.append(statement)
            return real(statement, *arguments)

        return ask


@PATHS
async def test_answer_and_work_are_the_same_for_every_state_of_an_account(
    auth: Auth, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await with_accounts(auth)
    asked: list[str] = []
    monkeypatch.setattr(
        auth.client.app[STORE],
        "_repository",
        lambda connection: AuthRepository(Counted(connection, asked)),
    )
    # Five wrong guesses, then a lock: every step is compared.
    for step in range(7):
        seen = []
        for state in STATES:
            asked.clear()
            before = auth.metric("hash_duration_seconds_count", operation="verify")
            body = {"email": f"{state}@example.com", "password": PASSWORD if step > 5 else WRONG}
            answer = await shown(await auth.post(path, body))
            hashes = auth.metric("hash_duration_seconds_count", operation="verify") - before
            seen.append((answer, hashes, tuple(asked)))
        assert seen == [seen[0]] * len(seen)
        (status, _, _), hashes, statements = seen[0]
        assert (status, hashes) == ((401, 1) if step < 5 else (423, 0))
        assert statements


async def timed(
    kinds: Sequence[str], once: Callable[[str], Awaitable[int]], status: int
) -> dict[str, list[float]]:
    """Seconds per kind, measured in turns so that what else the machine does meets all alike."""
    source = random.Random(7)
    taken: dict[str, list[float]] = {kind: [] for kind in kinds}
    for _ in range(SAMPLES + 5):
        for kind in source.sample(kinds, len(kinds)):
            began = time.perf_counter()
            assert await once(kind) == status
            taken[kind].append(time.perf_counter() - began)
    # The first ones fill caches.
    return {kind: values[5:] for kind, values in taken.items()}


def compare(what: str, taken: dict[str, list[float]], reference: str) -> None:
    """Prints the statistic of each kind against the reference, and fails on a difference."""
    found = {
        kind: mann_whitney(values, taken[reference])
        for kind, values in taken.items()
        if kind != reference
    }
    for kind, (z, p) in found.items():
        print(f"{what}: {kind} against {reference}: n={SAMPLES} z={z:+.2f} p={p:.3g}")
    assert min(p for _, p in found.values()) > SIGNIFICANCE, found


async def test_the_time_of_a_refused_login_tells_no_state(start: Start) -> None:
    auth = await start(lockout_failures=1_000_000)
    await with_accounts(auth)

    async def once(state: str) -> int:
        return (await auth.log_in(f"{state}@example.com", WRONG)).status

    compare("login", await timed(tuple(STATES), once, 401), "unknown")


async def test_the_time_of_a_locked_login_tells_no_state(start: Start) -> None:
    auth = await start(lockout_failures=1)
    await with_accounts(auth)
    for state in STATES:
        await auth.log_in(f"{state}@example.com", WRONG)

    async def once(state: str) -> int:
        return (await auth.log_in(f"{state}@example.com", PASSWORD)).status

    compare("locked login", await timed(tuple(STATES), once, 423), "unknown")


async def test_the_time_of_a_silent_registration_tells_no_taken_address(start: Start) -> None:
    auth = await start(enumeration_safe=True)
    numbers = iter(range(1_000_000))
    taken = "taken@example.com"

    async def once(kind: str) -> int:
        email = taken if kind == "taken" else f"free{next(numbers)}@example.com"
        body = {"name": "Ada Lovelace", "email": email, "password": PASSWORD}
        return (await auth.post("register", body)).status

    assert await once("taken") == 202
    compare("registration", await timed(("free", "taken"), once, 202), "free")
