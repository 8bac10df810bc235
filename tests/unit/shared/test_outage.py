"""A failure that comes back with every try is told of, and does not fill the disk."""

from __future__ import annotations

import structlog
from structlog.testing import capture_logs

from shared.outage import Outage

log = structlog.get_logger(__name__)


class Clock:
    """A clock of the test's own, in seconds."""

    def __init__(self) -> None:
        self.time = 1_000.0

    def __call__(self) -> float:
        return self.time


def told(outage: Outage, clock: Clock, seconds: int) -> list[tuple[int, str]]:
    """What is told of a failure each second: after how many seconds, and how loudly."""
    found = []
    for second in range(seconds):
        with capture_logs() as lines:
            outage.failed(log, "away", error="refused")
        found += [(second, line["log_level"]) for line in lines]
        clock.time += 1
    return found


def test_who_starts_first_waits_for_the_other_without_a_warning() -> None:
    clock = Clock()
    assert told(Outage(clock), clock, 9) == [(0, "info")]


def test_what_does_not_come_is_warned_of_and_then_once_a_minute() -> None:
    clock = Clock()
    assert told(Outage(clock), clock, 140) == [
        (0, "info"), (10, "warning"), (70, "warning"), (130, "warning"),
    ]  # fmt: skip


def test_what_has_worked_is_warned_of_at_once_and_again_after_it_is_over() -> None:
    clock = Clock()
    outage = Outage(clock)
    outage.is_over()
    assert told(outage, clock, 30) == [(0, "warning")]
    outage.is_over()
    assert told(outage, clock, 30) == [(0, "warning")]
