"""`python -m bench.tasks_scale`: lists of 1 000 tasks beside lists of 100 000, through the door.

Asks for one page at a time, `--requests` times each. `known` is a list whose owner has written
nothing since it was asked for last. `changed` is one whose owner has: a task is changed before each
request, so that no page that is kept holds. All times are milliseconds.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import secrets
import tempfile
import time
from pathlib import Path
from statistics import quantiles
from urllib.parse import urlsplit

import asyncpg

from bench.machine import Cores
from bench.system import call, running_system
from deploy.local.postgres import Place

SIZES = (1_000, 100_000)
WORDS = ("report", "budget", "garden", "travel", "music")
JSON = "application/json"
CASES = {
    "first page": "",
    "page 20": "page=20",
    "completed": "completed=true",
    "priority": "priority=3",
    "min_priority": "min_priority=3",
    "label": "label=label4",
    "label, open, urgent": "label=label4&completed=false&min_priority=4",
    "due_before": "due_before=2026-01-05T00:00:00Z",
    "due_before, completed": "due_before=2026-01-05T00:00:00Z&completed=true",
    "created_after": "created_after=2020-01-01T00:00:00Z",
    "q, in 1 of 700": "q=word250",
    "q, in none": "q=nowhere",
    "q, in 1 of 5": "q=report",
    "q, walk, in 1 of 5": "q=report&cursor=",
    "q, in 1 of 5, by title": "q=report&sort=title",
    "q, in 1 of 5, urgent": "q=report&sort=-priority,due_date",
    "sort=due_date": "sort=due_date",
    "sort=-priority,due_date": "sort=-priority,due_date",
    "sort=title": "sort=title",
}
_FILL = """
    INSERT INTO tasks (id, owner_id, title, description, priority, due_date, completed, labels,
        version, created_at, updated_at)
    SELECT gen_random_uuid(), $1, 'Task ' || n || ' word' || n % 700,
        'about ' || (ARRAY['report', 'budget', 'garden', 'travel', 'music'])[1 + one % 5],
        1 + two % 5,
        CASE WHEN n % 7 > 0 THEN timestamptz '2026-01-01' + one % 1000000 * interval '1 s' END,
        three % 3 = 0, ARRAY['label' || three % 20], 1, now() - n * interval '1 s',
        now() - n * interval '1 s'
    FROM generate_series(1, $2::int) AS n, LATERAL (
        SELECT abs(hashint4(n)::bigint) AS one, abs(hashint4(n + 1)::bigint) AS two,
            abs(hashint4(n + 2)::bigint) AS three
    ) AS chance
"""
# The feed begins with one of them, as it would have told of all.
_TELL = """
    INSERT INTO changes SELECT owner_id, 1, gen_random_uuid(), 'task.created', id, now(),
        to_json(tasks) FROM tasks WHERE owner_id = $1 LIMIT 1
"""


class Owner:
    """A user with so many tasks, and one connection to the door."""

    def __init__(self, url: str, size: int) -> None:
        self.size = size
        account = {
            "name": "Scale",
            "email": f"scale-{secrets.token_hex(6)}@example.com",
            "password": secrets.token_urlsafe(18),
        }
        made = call("POST", f"{url}/api/v2/auth/register", account, {})
        self.id = str(made["user"]["id"])
        self._headers = {"Authorization": f"Bearer {made['access_token']}"}
        parts = urlsplit(url)
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
        self._writes = 0

    def ask(self, query: str) -> float:
        """Milliseconds until a list has come whole."""
        began = time.perf_counter()
        self._call("GET", f"?{query}")
        return (time.perf_counter() - began) * 1e3

    def write(self) -> None:
        """Changes what most filters look at, of one of his newest tasks."""
        page = json.loads(self._call("GET", "?page_size=1"))
        self._writes += 1
        fields = {
            "completed": self._writes % 2 == 0,
            "description": f"about {WORDS[self._writes % len(WORDS)]}",
            "due_date": f"2026-01-{self._writes % 28 + 1:02}T00:00:00Z",
        }
        self._call("PATCH", f"/{page['results'][0]['id']}", json.dumps(fields))

    def _call(self, method: str, rest: str, body: str | None = None) -> bytes:
        self._connection.request(
            method, f"/api/v2/tasks{rest}", body, {**self._headers, "Content-Type": JSON}
        )
        answer = self._connection.getresponse()
        text = answer.read()
        assert answer.status == 200, text
        return text


async def compare(database_url: str, owners: list[Owner], requests: int) -> None:
    """Fills the owners' lists, asks for every case and prints a line for each."""
    connection = await asyncpg.connect(database_url)
    for owner in owners:
        await connection.execute(_FILL, owner.id, owner.size)
        await connection.execute("INSERT INTO feeds VALUES ($1, 1, $2, 0)", owner.id, owner.size)
        await connection.execute(_TELL, owner.id)
    await connection.execute("VACUUM ANALYZE")
    shown = [f"{kind} {size:,}" for kind in ("known", "changed") for size in SIZES]
    print(f"{'p50 / p99, ms':26}" + "".join(f"{title:>20}" for title in shown) + "  p99 x")
    for name, query in CASES.items():
        cells, ratios = "", []
        for changes in (False, True):
            tails = []
            for owner in owners:
                times = []
                owner.ask(query)
                for _ in range(requests):
                    if changes:
                        owner.write()
                    times.append(owner.ask(query))
                cuts = quantiles(times, n=100)
                tails.append(cuts[98])
                cells += f"{cuts[49]:>11.2f} / {cuts[98]:>6.2f}"
            ratios.append(tails[1] / tails[0])
        print(f"{name:26}{cells}  {ratios[0]:.1f}, {ratios[1]:.1f}", flush=True)
    await connection.close()


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.tasks_scale", description=__doc__)
    parser.add_argument("--requests", type=int, default=200, help="for each case and size")
    requests = parser.parse_args().requests
    with tempfile.TemporaryDirectory(prefix="tasklane-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with running_system(folder / "system", Cores.split().measured) as system:
            parts = urlsplit(system.requests["GET one"].url)
            url = f"{parts.scheme}://{parts.netloc}"
            owners = [Owner(url, size) for size in SIZES]
            place = Place(system.data)
            asyncio.run(compare(place.url("tasks"), owners, requests))


if __name__ == "__main__":
    main()
