"""The same requests a second over few connections and over many: what a connection itself costs.

In a closed loop one connection sends a request when the last one is answered, so the door sleeps
and wakes for each one alone, and a thousand of them are a thousand requests at once. Both say how
full the door is, not what a connection costs. Here all that changes is over how many connections
the same load comes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.doors import Door
from bench.figures import Figure, merged
from bench.open_loop import Open
from bench.wire import Request

if TYPE_CHECKING:
    from bench.cases import Bench

CROWD = "open connections"
LOW_RATE = 2_000.0
# What one client can ask for at exact times.
HIGHEST_RATE = 4_000.0
_CROWDS = (Open(1), Open(100), Open(1_000), Open(1, 999))
_FEW = (Open(1), Open(1, 9))


def measure_crowds(bench: Bench, doors: list[Door], capacity: float) -> None:
    """CPU per request at fixed rates; `capacity` is what our door can do, in requests a second."""
    rates = {min(LOW_RATE, capacity / 2)}
    if not bench.quick:
        rates.add(min(HIGHEST_RATE, capacity / 2))
    for rate in sorted(rates):
        for crowd in _FEW if bench.quick else _CROWDS:
            rounds = [
                [_measure(bench, door, rate, crowd) for door in doors] for _ in range(bench.rounds)
            ]
            bench.report.figures += [merged(figures) for figures in zip(*rounds, strict=True)]


def _measure(bench: Bench, door: Door, rate: float, crowd: Open) -> Figure:
    request = Request(door.url, headers=bench.identity.headers)
    latency = bench.clients.spread(request, rate, bench.seconds, crowd, door.process_id)
    used = latency.cpu_seconds * 1e6 / max(1, latency.answered)
    case = f"{rate:.0f}/s, one busy" if crowd.idle else f"{rate:.0f}/s"
    faults = {"no good answer": latency.errors} if latency.errors else {}
    return Figure(
        CROWD,
        door.name,
        case,
        crowd.busy + crowd.idle,
        latency.answered,
        latency.errors,
        latency.answered / max(1.0, latency.achieved),
        {"door": used},
        {},
        faults,
    )
