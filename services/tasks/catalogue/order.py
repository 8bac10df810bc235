"""A part of an order of very many places, found by halving them and not by sorting."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from services.tasks.catalogue.bits import from_nth, places

# So few are left to whoever fetches them to put in order.
FEW = 32


class Step(NamedTuple):
    """Places in `bits` come before all others, or after them."""

    bits: int
    first: bool


class Stretch(NamedTuple):
    """Places that follow each other in the order, in whatever order here.

    What was asked for begins after the first `skip` of them.
    """

    places: list[int]
    skip: int


def stretch(
    group: int, steps: Sequence[Step], skip: int, limit: int, *, descending: bool | None
) -> Stretch | None:
    """Where the places from `skip` on are, `limit` of them.

    What all steps leave equal goes by the place, up or down; with None for `descending` it has an
    order that is not known here, and so has the answer when that are more than a few.
    """
    size = group.bit_count()
    limit = min(limit, size - skip)
    if limit <= 0:
        return Stretch([], 0)
    for at, step in enumerate(steps, 1):
        if size <= FEW:
            break
        ones = group & step.bits
        number = ones.bit_count()
        if number in (0, size):
            continue
        first = ones
        if not step.first:
            first, number = group ^ ones, size - number
        if skip < number < skip + limit:
            here = number - skip
            one = stretch(first, steps[at:], skip, here, descending=descending)
            other = stretch(group ^ first, steps[at:], 0, limit - here, descending=descending)
            return one and other and Stretch(one.places + other.places, one.skip)
        if skip < number:
            group, size = first, number
        else:
            group, size, skip = group ^ first, size - number, skip - number
    if size <= FEW:
        return Stretch(places(group), skip)
    if descending is None:
        return None
    start = size - skip - limit if descending else skip
    return Stretch(from_nth(group, start, limit), 0)
