"""Whether what a process keeps grows with the number of requests.

Resident memory alone does not tell: it fluctuates by what the allocator holds back. The objects
that the garbage collector knows and the blocks that the interpreter has handed out can be counted.
"""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SAMPLES = 20
LEAST_CASES = 100_000  # fewer say nothing: tables of bounded size are still being filled
RESIDENT_BYTES = 8 << 20  # that may come to the second half without being growth
# So many are noise, and so many for each case are growth: a leak is one at least for some kind of
# case, and every kind occurs more often than once in a hundred.
_OBJECTS, _OBJECTS_PER_CASE = 500, 0.01
_BLOCKS, _BLOCKS_PER_CASE = 20_000, 0.05


@dataclass(frozen=True, slots=True)
class Footprint:
    """What a process holds after so many cases."""

    cases: int
    objects: int  # that the garbage collector knows
    blocks: int  # of the interpreter's allocator
    resident: int  # bytes; 0 where the system does not tell


def footprint(cases: int) -> Footprint:
    """That of this process, after a collection."""
    gc.collect()
    objects, blocks, resident = len(gc.get_objects()), sys.getallocatedblocks(), 0
    figures = Path("/proc/self/statm")
    if figures.exists():
        # What free() keeps for later is no growth.
        ctypes.CDLL(None).malloc_trim(0)
        resident = int(figures.read_text().split()[1]) * 4096
    return Footprint(cases, objects, blocks, resident)


def growth(samples: Sequence[Footprint]) -> list[str]:
    """What has grown from the third quarter of `samples` to the last; empty with too few cases.

    Of each quarter the least counts, as work that is under way adds to the rest. In the first half
    tables and caches of bounded size fill up.
    """
    if len(samples) < SAMPLES or samples[-1].cases < LEAST_CASES:
        return []
    quarter = len(samples) // 4
    before, after = samples[2 * quarter : 3 * quarter], samples[3 * quarter :]
    cases = after[0].cases - before[0].cases
    found = []
    for name, bound in (
        ("objects", _OBJECTS + _OBJECTS_PER_CASE * cases),
        ("blocks", _BLOCKS + _BLOCKS_PER_CASE * cases),
        ("resident", RESIDENT_BYTES),
    ):
        grown = min(getattr(s, name) for s in after) - min(getattr(s, name) for s in before)
        if grown > bound:
            found.append(f"{name} grew by {grown} in {cases} cases")
    return found
