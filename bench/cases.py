"""What is measured, in which order; each group adds its figures to the report."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from uuid import UUID

from bench.clients import Clients
from bench.crowds import HIGHEST_RATE, measure_crowds
from bench.doors import Door, running_gateway, running_haproxy, running_redis
from bench.figures import Delay, Figure, Report, merged
from bench.identity import Identity
from bench.machine import Cores
from bench.processes import cpu_seconds, resident_bytes
from bench.rivals.fastapi_stack import running_rival, versions
from bench.system import System, running_system
from bench.upstream import Upstream, running_upstream
from bench.wire import Request

DOORS, WHOLE = "front door", "whole path"
GATEWAY, WITH_REDIS = "Tasklane gateway", "Tasklane gateway, Redis"
TASKLANE = "Tasklane"
PROXY, PATHS, USERS, BOTH = "proxy", "new paths", "many users", "new paths of many"
# The connection count that every subject is measured with.
USUAL = 32
_LOGINS_AT_ONCE = 4
# On two cores a thousand would only measure wrk's patience of two seconds.
_MOST_WHOLE = 100
# A connection knows a few request lines, so one that comes again after so many is a new one.
_PATHS = 20_000
_USERS = 1_000
_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Bench:
    """How to measure: where, with what, for how long."""

    cores: Cores
    clients: Clients
    folder: Path
    identity: Identity
    seconds: float
    rounds: int
    quick: bool
    with_rivals: bool
    report: Report

    @property
    def connections(self) -> tuple[int, ...]:
        """The numbers of connections to measure with."""
        return (USUAL,) if self.quick else (1, USUAL, 100, 1_000)

    def measure(
        self,
        group: str,
        subject: str,
        case: str,
        requests: Sequence[Request],
        connections: int,
        processes: Mapping[str, int],
    ) -> Figure:
        """Loads the subject with requests in turn and reads what its processes used meanwhile."""
        before = {name: cpu_seconds(pid) for name, pid in processes.items()}
        served = self.clients.load(requests, connections, self.seconds)
        used = {name: cpu_seconds(pid) - before[name] for name, pid in processes.items()}
        return Figure(
            group,
            subject,
            case,
            connections,
            served.requests,
            served.errors,
            served.seconds,
            {name: value * 1e6 / max(1, served.requests) for name, value in used.items()},
            {name: resident_bytes(pid) / _MIB for name, pid in processes.items()},
            served.faults,
        )

    def warm_up(self, requests: Sequence[Request]) -> None:
        """Lets connections, caches and pools come into being before anything counts."""
        if not self.quick:
            self.clients.load(requests, USUAL, 1)


def measure_doors(bench: Bench) -> None:
    """The gateway alone and HAProxy by turns on one upstream, then the delay that ours adds."""
    measured, load = bench.cores.measured, bench.cores.load
    with contextlib.ExitStack() as stack:
        enter = stack.enter_context
        upstream = enter(running_upstream(bench.identity, bench.folder / "upstream", load))
        bench.report.facts["upstream"] = upstream.name
        headers = bench.identity.headers
        gateway = enter(
            running_gateway(GATEWAY, upstream, bench.folder / "gateway", measured, headers=headers)
        )
        doors = [gateway]
        if bench.with_rivals:
            folder = bench.folder / "haproxy"
            haproxy = enter(running_haproxy(upstream, bench.identity, folder, measured))
            if haproxy is None:
                bench.report.left_out.append("HAProxy: not installed")
            else:
                doors.append(haproxy)
        with_redis = enter(_with_redis(bench, upstream))
        _by_turns(bench, doors, with_redis)
        usual = bench.report.find(DOORS, gateway.name, PROXY, USUAL)
        assert usual is not None
        measure_crowds(bench, doors, usual.rate)
        _delay(bench, upstream, gateway)


def _by_turns(bench: Bench, always: list[Door], usually: list[Door]) -> None:
    """Measures the doors; those of `usually` with the usual number of connections only."""
    everything = [*always, *usually]
    headers = bench.identity.headers
    for door in everything:
        bench.warm_up([Request(door.url, headers=headers)])
    for connections in bench.connections:
        doors = everything if connections == USUAL else always
        same = {door.name: [Request(door.url, headers=headers)] for door in doors}
        _take_turns(bench, PROXY, doors, same, connections)
    ids = [f"{number:08x}-c0de-7000-8000-{number:012x}" for number in range(_PATHS)]
    paths = {
        door.name: [Request(f"{door.url}/{one}", headers=headers) for one in ids] for door in always
    }
    _take_turns(bench, PATHS, always, paths, USUAL)
    # To sign for all takes longer than this case in a quick run.
    users = range(20 if bench.quick else _USERS)
    bearers = [bench.identity.headers_of(str(UUID(int=number))) for number in users]
    by_all = {
        door.name: [Request(door.url, headers=bearer) for bearer in bearers] for door in always
    }
    for door in always:
        bench.warm_up(by_all[door.name])
    _take_turns(bench, USERS, always, by_all, USUAL)
    new_by_all = {
        door.name: [
            Request(f"{door.url}/{one}", headers=bearer)
            for one, bearer in zip(ids, cycle(bearers), strict=False)
        ]
        for door in always
    }
    _take_turns(bench, BOTH, always, new_by_all, USUAL)


def _take_turns(
    bench: Bench,
    case: str,
    doors: list[Door],
    requests: Mapping[str, Sequence[Request]],
    connections: int,
) -> None:
    """One case, round by round: what disturbs the machine for a while disturbs all doors."""
    rounds = [
        [
            bench.measure(
                DOORS, door.name, case, requests[door.name], connections, {"door": door.process_id}
            )
            for door in doors
        ]
        for _ in range(bench.rounds)
    ]
    bench.report.figures += [merged(figures) for figures in zip(*rounds, strict=True)]


@contextlib.contextmanager
def _with_redis(bench: Bench, upstream: Upstream) -> Iterator[list[Door]]:
    """The gateway with its limits in Redis, where there is one."""
    folder, measured = bench.folder, bench.cores.measured
    with running_redis(folder / "redis", bench.cores.load) as url:
        if url is None:
            bench.report.left_out.append("Redis limits: no redis-server installed")
            yield []
            return
        with running_gateway(
            WITH_REDIS,
            upstream,
            folder / "gateway-redis",
            measured,
            headers=bench.identity.headers,
            redis_url=url,
        ) as gateway:
            yield [gateway]


def _delay(bench: Bench, upstream: Upstream, gateway: Door) -> None:
    """The open loop at half of what the gateway can do, directly and through it."""
    most = bench.report.find(DOORS, gateway.name, PROXY, bench.connections[-1])
    assert most is not None
    rate = min(most.rate / 2, HIGHEST_RATE)
    direct = bench.clients.ask(Request(upstream.url + "/v2/tasks"), rate, bench.seconds)
    request = Request(gateway.url, headers=bench.identity.headers)
    through = bench.clients.ask(request, rate, bench.seconds)
    bench.report.delays.append(Delay(gateway.name, direct, through))


def measure_whole(bench: Bench, rival: Path | None) -> None:
    """Gateway, tasks and PostgreSQL together; then the FastAPI process on the same PostgreSQL."""
    with running_system(bench.folder / "system", bench.cores.measured) as system:
        _measure_system(bench, system)
        if not bench.with_rivals:
            return
        name = None if rival is None else versions(rival)
        if rival is None or name is None:
            bench.report.left_out.append("FastAPI: name an interpreter that has it by --fastapi")
            return
        with running_rival(rival, name, system.data, bench.identity, bench.cores.measured) as other:
            processes = {"fastapi": other.process_id, "postgres": system.pids["postgres"]}
            for case, requests in other.cases.items():
                bench.warm_up(requests)
                bench.report.figures.append(
                    bench.measure(WHOLE, name, case, requests, USUAL, processes)
                )


def _measure_system(bench: Bench, system: System) -> None:
    for case, requests in system.cases.items():
        login = case == "login"
        serving = "auth" if login else "tasks"
        processes = {name: system.pids[name] for name in ("gateway", serving, "postgres")}
        if not login:
            bench.warm_up(requests)
        counts: tuple[int, ...] = (_LOGINS_AT_ONCE,) if login else (USUAL,)
        if case == "GET one":
            counts = tuple(count for count in bench.connections if count <= _MOST_WHOLE)
        for connections in counts:
            bench.report.figures.append(
                bench.measure(WHOLE, TASKLANE, case, requests, connections, processes)
            )
