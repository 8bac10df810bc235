"""`python -m bench.sessions`: logins beside a thousand sessions, and beside a million.

Starts the system as `make run` does and fills the tables that logins fill: sessions with their
refresh counters, counters of failed guesses and failed entries. Then one client logs in, refreshes
and logs out through the door, one request after the other. All times are milliseconds.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg

from bench.machine import Cores
from bench.processes import NotMeasured
from bench.revocation import at_share
from bench.system import running_system
from bench.wire import Request
from deploy.local.postgres import Place

SIZES = (1_000, 1_000_000)
WARM_UP = 10
_PEOPLE = """
    INSERT INTO users (id, name, email, password_hash, password_changed_at, role, tier,
        created_at, updated_at)
    SELECT gen_random_uuid(), 'Ada', 'ada' || n || '@example.com', 'x', now(), 'user', 'default',
        now(), now() FROM generate_series(1, 1000) n
"""
_FILL = (
    """
    INSERT INTO sessions (id, user_id, refresh_counter, created_at, used_at, idle_expires_at,
        expires_at)
    SELECT gen_random_uuid(), id, n % 100, now(), now(), now() + interval '7 days',
        now() + interval '30 days'
    FROM (SELECT id FROM users LIMIT 1000) AS people, generate_series(0, $1::int / 1000) n
    LIMIT $1::int
    """,
    """
    INSERT INTO failed_guesses
    SELECT sha256(('g' || $1::int || n)::bytea), 1, NULL, now() + interval '1 day'
    FROM generate_series(1, $1::int) n
    """,
    """
    INSERT INTO failed_entries
    SELECT sha256((n % 1000)::text::bytea), sha256(('e' || $1::int || n)::bytea),
        now() + interval '1 day'
    FROM generate_series(1, $1::int) n
    """,
)


class Person:
    """Somebody with an account and one connection to the door."""

    def __init__(self, login: Request) -> None:
        parts = urlsplit(login.url)
        self._path = parts.path.removesuffix("login")
        self._credentials = str(login.body)
        self._door = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
        self._grant: dict[str, str] = {}

    def log_in(self) -> float:
        return self._grants("login", self._credentials)

    def refresh(self) -> float:
        return self._grants("refresh", json.dumps({"refresh_token": self._grant["refresh_token"]}))

    def log_out(self) -> float:
        seconds, _ = self._ask("logout", "{}", 204)
        return seconds

    def _grants(self, path: str, body: str) -> float:
        seconds, answer = self._ask(path, body, 200)
        self._grant = json.loads(answer)
        return seconds

    def _ask(self, path: str, body: str, wanted: int) -> tuple[float, bytes]:
        headers = {"Content-Type": "application/json"}
        if path == "logout":
            headers["Authorization"] = f"Bearer {self._grant['access_token']}"
        began = time.perf_counter()
        self._door.request("POST", self._path + path, body, headers)
        answer = self._door.getresponse()
        text = answer.read()
        seconds = time.perf_counter() - began
        if answer.status != wanted:
            raise NotMeasured(f"{path} was answered {answer.status}: {text[:200]!r}")
        return seconds, text


async def fill(database_url: str, rows: int) -> None:
    """As many sessions, failed guesses and failed entries more."""
    connection = await asyncpg.connect(database_url)
    try:
        if not await connection.fetchval("SELECT count(*) FROM users WHERE password_hash = 'x'"):
            await connection.execute(_PEOPLE)
        for statement in _FILL:
            await connection.execute(statement, rows)
        await connection.execute("VACUUM (ANALYZE)")
    finally:
        await connection.close()


def measure(login: Request, count: int) -> dict[str, list[float]]:
    """Seconds of each request by what it was, sorted."""
    person = Person(login)
    seconds: dict[str, list[float]] = {"login": [], "refresh": [], "logout": []}
    for _ in range(count):
        seconds["login"].append(person.log_in())
        seconds["refresh"].append(person.refresh())
        seconds["logout"].append(person.log_out())
    return {name: sorted(found) for name, found in seconds.items()}


def main() -> int:
    """Prints p50 and p99 for each size."""
    parser = argparse.ArgumentParser(prog="bench.sessions", description=__doc__)
    parser.add_argument("--count", type=int, default=200, help="logins for each size")
    count = parser.parse_args().count
    with tempfile.TemporaryDirectory(prefix="tasklane-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        try:
            with running_system(folder / "system", Cores.split().measured) as system:
                login, place = system.requests["login"], Place(system.data)
                there = 0
                for size in SIZES:
                    asyncio.run(fill(place.url("auth"), size - there))
                    there = size
                    measure(login, WARM_UP)
                    for what, seconds in measure(login, count).items():
                        p50, p99 = at_share(seconds, 0.5), at_share(seconds, 0.99)
                        print(f"{size:>9,} sessions  {what:8} p50 {p50:7.1f}  p99 {p99:7.1f}")
        except NotMeasured as error:
            print(f"cannot measure: {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
