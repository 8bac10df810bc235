"""`python -m bench.tasks_scale`: lists of 1 000 tasks beside lists of 100 000, through the door.

Asks for one page at a time, `--requests` times each. `known` is a list whose owner has written
nothing since it was asked for last. `changed` is one whose owner has: a task is changed before each
request, so that no page that is kept holds. `fresh` asks for something else each time, which nobody
has asked for before; what is drawn passes as many of a hundred tasks for either size. `fresh,
changed` is both. All times are milliseconds. `--kinds` and `--cases` name those that are wanted.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import secrets
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import quantiles
from urllib.parse import urlsplit

import asyncpg

from bench.fresh_lists import BEGAN, DUE_SECONDS, FRESH, NUMBERED, WORDS, Filled, Questions
from bench.machine import Cores
from bench.system import call, running_system
from deploy.local.postgres import Place

SIZES = (1_000, 100_000)
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
KINDS = ("known", "changed", "fresh", "fresh, changed")
_FILL = """
    INSERT INTO tasks (id, owner_id, title, description, priority, due_date, completed, labels,
        version, created_at, updated_at)
    SELECT gen_random_uuid(), $1, 'Task ' || n || ' word' || n % $3::int,
        'about ' || ($4::text[])[1 + one % cardinality($4)],
        1 + two % 5,
        CASE WHEN n % 7 > 0 THEN $5::timestamptz + one % $6::int * interval '1 s' END,
        three % 3 = 0, ARRAY['label' || three % 20], 1, now() - n * interval '1 s',
        now() - n * interval '1 s'
    FROM generate_series(1, $2::int) AS n, LATERAL (
        SELECT abs(hashint4(n)::bigint) AS one, abs(hashint4(n + 1)::bigint) AS two,
            abs(hashint4(n + 2)::bigint) AS three
    ) AS chance
"""
_VALUES = (NUMBERED, WORDS, BEGAN, DUE_SECONDS)
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
        self._answer: Mapping[str, object] = {}

    def ask(self, query: str) -> float:
        """Milliseconds until a list has come whole."""
        began = time.perf_counter()
        text = self._call("GET", f"?{query}")
        took = (time.perf_counter() - began) * 1e3
        self._answer = json.loads(text)
        return took

    def queries(self, kind: str, case: str, filled: Filled) -> Iterator[str]:
        """What is asked for in this case, one after the other."""
        if "fresh" not in kind:
            while True:
                yield CASES[case]
        questions, self._answer = Questions(case, filled), {}
        while True:
            yield questions.next(self._answer)

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


class Tail:
    """The median and the 99th of a hundred of some times."""

    def __init__(self, times: list[float]) -> None:
        cuts = quantiles(times, n=100)
        self.median, self.p99 = cuts[49], cuts[98]

    def __str__(self) -> str:
        return f"{self.median:>11.2f} / {self.p99:>6.2f}"


async def fill(database_url: str, owners: list[Owner]) -> Filled:
    """Gives each owner his tasks; returns the largest of them."""
    connection = await asyncpg.connect(database_url)
    for owner in owners:
        await connection.execute(_FILL, owner.id, owner.size, *_VALUES)
        await connection.execute("INSERT INTO feeds VALUES ($1, 1, $2, 0)", owner.id, owner.size)
        await connection.execute(_TELL, owner.id)
    await connection.execute("VACUUM ANALYZE")
    at = await connection.fetchval("SELECT now()")
    await connection.close()
    return Filled(max(SIZES), at)


def compare(owners: list[Owner], filled: Filled, wanted: argparse.Namespace) -> None:
    """Asks for every case and prints a line for each."""
    for kind in wanted.kinds:
        print(f"{kind + ', p50 / p99, ms':28}" + "".join(f"{size:>20,}" for size in SIZES), end="")
        print("  p50 x  p99 x")
        for case in FRESH if "fresh" in kind else CASES:
            if not any(part in case for part in wanted.cases):
                continue
            low, high = map(Tail, _times(owners, filled, kind, case, wanted.requests))
            ratios = f"{high.median / low.median:7.1f}{high.p99 / low.p99:7.1f}"
            print(f"{case:28}{low}{high}{ratios}", flush=True)


def _times(
    owners: list[Owner], filled: Filled, kind: str, case: str, requests: int
) -> list[list[float]]:
    """What each owner waited for; they take turns, so that both meet what else the machine does."""
    queries = [owner.queries(kind, case, filled._replace(size=owner.size)) for owner in owners]
    times: list[list[float]] = [[] for _ in owners]
    for number in range(requests + 1):
        for owner, wanted, waited in zip(owners, queries, times, strict=True):
            if "changed" in kind:
                owner.write()
            took = owner.ask(next(wanted))
            # The first of each is about what PostgreSQL and the processes have not done yet.
            if number:
                waited.append(took)
    return times


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.tasks_scale", description=__doc__)
    parser.add_argument("--requests", type=int, default=200, help="for each case and size")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--cases", nargs="+", default=[""], help="parts of their names")
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tasklane-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with running_system(folder / "system", Cores.split().measured) as system:
            parts = urlsplit(system.requests["GET one"].url)
            url = f"{parts.scheme}://{parts.netloc}"
            owners = [Owner(url, size) for size in SIZES]
            filled = asyncio.run(fill(Place(system.data).url("tasks"), owners))
            compare(owners, filled, wanted)


if __name__ == "__main__":
    main()
