"""Metrics of several processes as one exposition: each series with the process in a label."""

from __future__ import annotations

from collections.abc import Mapping

LABEL = "worker"


def merged(expositions: Mapping[str, bytes]) -> bytes:
    """One text (Prometheus text format 0.0.4) out of one for each process.

    A family has one head and stands together. A process that starts again begins its series at
    zero, which `rate` understands; the sum of several processes would be no counter then.
    """
    heads: dict[str, list[str]] = {}
    samples: dict[str, list[str]] = {}
    for process, text in expositions.items():
        family = ""
        for line in text.decode().splitlines():
            if line.startswith("# "):
                _, word, family, *_ = line.split(" ", 3)
                head = heads.setdefault(family, [])
                if not any(known.startswith(f"# {word} ") for known in head):
                    head.append(line)
            elif line:
                samples.setdefault(family, []).append(_labelled(line, process))
    lines = [line for family in heads for line in (*heads[family], *samples.get(family, ()))]
    return ("\n".join(lines) + "\n").encode()


def _labelled(sample: str, process: str) -> str:
    """The sample with the label, unless it is about a worker already."""
    named, brace, rest = sample.partition("{")
    if brace and " " not in named:
        if rest.startswith(f'{LABEL}="'):
            return sample
        return f'{named}{{{LABEL}="{process}",{rest}'
    name, _, value = sample.partition(" ")
    return f'{name}{{{LABEL}="{process}"}} {value}'
