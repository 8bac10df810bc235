"""What a process knows about its own fitness, and the shape in which it says so."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from shared.version import VERSION

# A check returns when its dependency answers and raises anything when it does not.
Check = Callable[[], Awaitable[None]]
Outcomes = dict[str, dict[str, Any]]  # of checks, by their names
CHECK_TIMEOUT_SECONDS = 2.0
# Whoever collects figures has a limit of his own, and wants them most when something hangs.
VERDICT_TIMEOUT_SECONDS = 0.5


@dataclass(slots=True)
class Health:
    """Liveness, readiness and the report of one process.

    A failing check of `critical` makes the process unhealthy and not ready; one of `optional`
    only degrades it.
    """

    critical: Mapping[str, Check] = field(default_factory=dict)
    optional: Mapping[str, Check] = field(default_factory=dict)
    # What a process has to have had once before it can answer anything.
    first: Mapping[str, Check] = field(default_factory=dict)
    listening: bool = True
    draining: bool = False
    started_at: float = field(default_factory=time.monotonic)
    has_begun: bool = False  # whether it has had what `first` asks for
    has_been_ready: bool = False

    async def ready(self) -> bool:
        """Whether new work should be sent here."""
        if self.draining or not self.listening:
            return False
        if not all((await self.critical_verdicts()).values()):
            return False
        self.has_begun = self.has_begun or all(
            _passed(await _run_named(self.first, CHECK_TIMEOUT_SECONDS)).values()
        )
        return self.has_begun

    async def accepting(self) -> bool:
        """Whether a proxy with several processes of this kind should send this one requests.

        Once it has been ready only its own end counts: a dependency is away for all of a kind.
        """
        if self.draining or not self.listening:
            return False
        if not self.has_been_ready:
            self.has_been_ready = await self.ready()
        return self.has_been_ready

    async def critical_verdicts(self) -> dict[str, bool]:
        """Runs the checks that readiness hangs on: whether each passed, by its name."""
        return _passed(await _run_named(self.critical, CHECK_TIMEOUT_SECONDS))

    async def verdicts(self) -> dict[str, bool]:
        """Runs every check, shortly: whether each passed, by its name."""
        return _passed(await self._run_all(VERDICT_TIMEOUT_SECONDS))

    async def report(self) -> dict[str, Any]:
        """The body of `GET /health`."""
        outcomes = await self._run_all(CHECK_TIMEOUT_SECONDS)
        issues = [f"{name}: {seen['error']}" for name, seen in outcomes.items() if "error" in seen]
        failing = {name for name, seen in outcomes.items() if "error" in seen}
        if self.draining:
            issues.append("draining")
        if failing & set(self.critical):
            status = "unhealthy"
        elif failing or self.draining:
            status = "degraded"
        else:
            status = "healthy"
        return {
            "status": status,
            "version": VERSION,
            "uptime_seconds": round(time.monotonic() - self.started_at, 3),
            "checks": outcomes,
            "issues": issues,
        }

    async def _run_all(self, seconds: float) -> Outcomes:
        return await _run_named({**self.critical, **self.optional}, seconds)


def _passed(outcomes: Outcomes) -> dict[str, bool]:
    return {name: outcome["status"] == "healthy" for name, outcome in outcomes.items()}


async def _run_named(checks: Mapping[str, Check], seconds: float) -> Outcomes:
    outcomes = await asyncio.gather(*(_run(check, seconds) for check in checks.values()))
    return dict(zip(checks, outcomes, strict=True))


async def _run(check: Check, seconds: float) -> dict[str, Any]:
    """Runs one check under a time limit; a failure is named by its class, not by driver text."""
    began = time.perf_counter()
    outcome: dict[str, Any] = {"status": "healthy"}
    try:
        async with asyncio.timeout(seconds):
            await check()
    except TimeoutError:
        outcome = {"status": "unhealthy", "error": "timed out"}
    except Exception as error:  # noqa: BLE001 - whatever a check raises is its verdict
        outcome = {"status": "unhealthy", "error": type(error).__name__}
    outcome["response_time_ms"] = round((time.perf_counter() - began) * 1000, 2)
    return outcome
