"""`python -m bench.fuzz --requests 1000000` sends mutated requests at the gateway.

Every connection has to end, every answer has to be a whole one in the contract's shape with a code
of the catalogue, nothing may be logged as an error, no byte may reach the service that the gateway
must not pass on, and nothing may be left over. The same seed gives the same cases; `--case N`
repeats one of them.
"""

from __future__ import annotations

import argparse
import math
import time

import uvloop

from bench.fuzz.hunt import Findings, hunt, make_case
from bench.fuzz.target import target


def main(arguments: list[str] | None = None) -> int:
    """Prints what was found; returns 1 when it is anything."""
    parser = argparse.ArgumentParser(prog="bench.fuzz", description=__doc__)
    parser.add_argument("--requests", type=int, default=100_000, help="connections to make")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of the mutations")
    parser.add_argument("--at-once", type=int, default=400, help="connections open at a time")
    parser.add_argument("--seconds", type=float, default=math.inf, help="end after so many")
    parser.add_argument("--case", type=int, help="repeat this one case only")
    options = parser.parse_args(arguments)
    first, requests = 0, options.requests
    if options.case is not None:
        first, requests = options.case, 1

    async def run() -> Findings:
        async with target() as found:
            if options.case is not None:
                shown.append(str(make_case(options.seed, first, found.token)))
            return await hunt(
                found,
                requests,
                seed=options.seed,
                first=first,
                at_once=options.at_once,
                seconds=options.seconds,
            )

    shown: list[str] = []
    began, cpu = time.perf_counter(), time.process_time()
    findings = uvloop.run(run())
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    print("\n".join([*shown, *_summary(findings, options.seed, seconds, cpu)]))
    return 1 if findings.problems else 0


def _summary(found: Findings, seed: int, seconds: float, cpu: float) -> list[str]:
    lines = [
        f"seed {seed}: {found.cases} connections, {found.sockets} of them through sockets",
        f"{found.sent / 1e6:.1f} MB in {seconds:.0f} s, {cpu:.0f} s of CPU",
        f"clients: {_counts(found.endings)}, late {found.late}",
        f"mutations: {_counts(found.mutations)}",
        f"answers: {_counts(found.statuses)}",
    ]
    if found.footprints:
        kept = found.footprints
        lines += [
            f"memory, MiB: {' '.join(f'{one.resident / (1 << 20):.0f}' for one in kept)}",
            f"objects, thousands: {' '.join(f'{one.objects / 1000:.1f}' for one in kept)}",
            f"blocks, thousands: {' '.join(f'{one.blocks / 1000:.0f}' for one in kept)}",
        ]
    lines.append(f"findings: {len(found.problems)}")
    lines += [f"- {problem}" for problem in found.problems]
    return lines


def _counts(counted: dict[str, int] | dict[int, int]) -> str:
    return ", ".join(f"{name} {number}" for name, number in sorted(counted.items(), key=str))


if __name__ == "__main__":
    raise SystemExit(main())
