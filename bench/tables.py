"""The report as aligned tables."""

import math
from collections.abc import Iterable, Sequence

from bench.cases import DOORS, USUAL, WHOLE
from bench.crowds import CROWD
from bench.figures import Figure, Report

NOTHING = "-"


def describe(report: Report) -> str:
    """The report as text."""
    width = max(map(len, report.facts))
    parts = ["\n".join(f"{name:<{width}}  {value}" for name, value in report.facts.items())]
    parts.append("Front doors: RS256 token, two limits, proxy of 300 bytes")
    parts.append(_doors(report))
    parts.append("The same rate over more or fewer open connections")
    parts.append(_crowds(report))
    if report.delays:
        parts.append("Added latency, open loop: milliseconds from the moment a request was due")
        parts.append(_delays(report))
    parts.append("Whole path: CPU µs per request of each process")
    parts.append(_whole(report))
    if report.left_out:
        parts.append("Left out\n" + "\n".join(f"  {reason}" for reason in report.left_out))
    return "\n\n".join(parts)


def _doors(report: Report) -> str:
    figures = report.of(DOORS)
    rivals = [one.subject for one in figures if one.subject.startswith("HAProxy")]
    rows = []
    for one in figures:
        base = report.find(DOORS, rivals[0], one.case, one.connections) if rivals else None
        rows.append(
            [
                one.subject,
                one.case,
                str(one.connections),
                number(one.rate),
                number(one.own_us, 1),
                ratio(one.own_us, base.own_us if base else None),
                number(one.resident_mib["door"]),
                errors(one),
            ]
        )
    heads = [
        "front door",
        "case",
        "connections",
        "req/s",
        "CPU µs/req",
        "× HAProxy",
        "MiB",
        "errors",
    ]
    return table(heads, rows)


def _crowds(report: Report) -> str:
    figures = report.of(CROWD)
    rows = []
    for one in figures:
        rivals = [
            other
            for other in figures
            if other.subject == one.subject and other.case.split(",")[0] == one.case.split(",")[0]
        ]
        least = min(other.own_us for other in rivals)
        rows.append(
            [
                one.subject,
                one.case,
                str(one.connections),
                number(one.rate),
                number(one.own_us, 1),
                ratio(one.own_us, least),
                errors(one),
            ]
        )
    heads = ["front door", "asked", "open", "req/s", "CPU µs/req", "× least", "errors"]
    return table(heads, rows)


def _delays(report: Report) -> str:
    rows = []
    for delay in report.delays:
        for name, one in (("upstream directly", delay.direct), (delay.subject, delay.through)):
            rates = [number(one.asked), number(one.achieved)]
            times = [number(value, 3) for value in (one.p50, one.p90, one.p99, one.longest)]
            rows.append([name, "", *rates, *times, str(one.errors)])
        added = [
            number(after - before, 3)
            for before, after in (
                (delay.direct.p50, delay.through.p50),
                (delay.direct.p90, delay.through.p90),
                (delay.direct.p99, delay.through.p99),
            )
        ]
        rows.append(["added", "", "", "", *added, "", ""])
    heads = ["", "", "asked/s", "achieved/s", "p50", "p90", "p99", "longest", "errors"]
    return table(heads, rows)


def _whole(report: Report) -> str:
    figures = report.of(WHOLE)
    names = ("gateway", "auth", "tasks", "fastapi", "postgres")
    present = [name for name in names if any(name in one.cpu_us for one in figures)]
    rows = []
    for one in figures:
        rivals = [
            other
            for other in figures
            if "fastapi" in other.cpu_us and other.case == one.case and one.connections == USUAL
        ]
        costs = [number(one.cpu_us[name]) if name in one.cpu_us else NOTHING for name in present]
        rows.append(
            [
                one.subject,
                one.case,
                str(one.connections),
                number(one.rate),
                *costs,
                number(one.own_us),
                _times_less(rivals, one),
                errors(one),
            ]
        )
    heads = ["stack", "case", "connections", "req/s", *present, "services", "FastAPI ×", "errors"]
    return table(heads, rows)


def _times_less(rivals: list[Figure], one: Figure) -> str:
    return ratio(rivals[0].own_us, one.own_us) if rivals else NOTHING


def errors(one: Figure) -> str:
    """How many, and of which kinds."""
    if not one.faults:
        return str(one.errors)
    return f"{one.errors}: " + ", ".join(f"{count} {kind}" for kind, count in one.faults.items())


def number(value: float, digits: int = 0) -> str:
    """A figure with thousands apart; a dash for what is no number."""
    if math.isnan(value):
        return NOTHING
    return f"{value:,.{digits}f}".replace(",", " ")


def ratio(value: float, base: float | None) -> str:
    """How many times `base` a value is."""
    return NOTHING if not base else f"{value / base:.2f}"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Rows below heads, the first two columns to the left, figures to the right."""
    lines = [list(heads), *map(list, rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]

    def line(cells: Sequence[str]) -> str:
        placed = [
            cell.ljust(width) if column < 2 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return "  ".join(placed).rstrip()

    rule = ["-" * width for width in widths]
    return "\n".join([line(lines[0]), line(rule), *map(line, lines[1:])])
