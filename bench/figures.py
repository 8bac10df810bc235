"""What was measured, as values and as JSON."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from bench.open_loop import Latency


@dataclass(frozen=True, slots=True)
class Figure:
    """One case: `cpu_us` is CPU µs (user and system) per request of each process."""

    group: str
    subject: str
    case: str
    connections: int
    requests: int
    errors: int
    seconds: float
    cpu_us: dict[str, float]
    resident_mib: dict[str, float] = field(default_factory=dict)
    faults: dict[str, int] = field(default_factory=dict)  # the errors by their kind

    @property
    def rate(self) -> float:
        """Requests per second."""
        return self.requests / self.seconds

    @property
    def own_us(self) -> float:
        """CPU µs per request of all processes but PostgreSQL."""
        return sum(value for name, value in self.cpu_us.items() if name != "postgres")


def merged(figures: Sequence[Figure]) -> Figure:
    """Several rounds of one case as one figure: sums divided by sums."""
    first = figures[0]
    requests = sum(one.requests for one in figures)
    cpu = {
        name: sum(one.cpu_us[name] * one.requests for one in figures) / max(1, requests)
        for name in first.cpu_us
    }
    return Figure(
        first.group,
        first.subject,
        first.case,
        first.connections,
        requests,
        sum(one.errors for one in figures),
        sum(one.seconds for one in figures),
        cpu,
        figures[-1].resident_mib,
        dict(sum((Counter(one.faults) for one in figures), Counter())),
    )


@dataclass(frozen=True, slots=True)
class Delay:
    """Latency with and without the gateway in the way, at the same rate."""

    subject: str
    direct: Latency
    through: Latency


@dataclass(slots=True)
class Report:
    """Everything of one run."""

    facts: dict[str, str]
    figures: list[Figure] = field(default_factory=list)
    delays: list[Delay] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    def of(self, group: str) -> list[Figure]:
        """The figures of one group."""
        return [figure for figure in self.figures if figure.group == group]

    def find(self, group: str, subject: str, case: str, connections: int) -> Figure | None:
        """One figure; None when it was not measured."""
        for figure in self.of(group):
            if (figure.subject, figure.case, figure.connections) == (subject, case, connections):
                return figure
        return None

    def write(self, path: Path) -> None:
        """Writes all of it as JSON."""
        document = {
            "machine": self.facts,
            "figures": [
                {**asdict(figure), "requests_per_second": figure.rate, "own_us": figure.own_us}
                for figure in self.figures
            ],
            "delays": [asdict(delay) for delay in self.delays],
            "left_out": self.left_out,
        }
        path.write_text(json.dumps(document, indent=2) + "\n")
