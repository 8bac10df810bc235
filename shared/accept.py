"""Reading an Accept header (RFC 9110 section 12.5.1)."""

from __future__ import annotations

import re
from collections.abc import Iterator

_WEIGHT = re.compile(r"\d{1,3}(?:\.\d{0,3})?", re.ASCII)


def media_ranges(accept: str) -> Iterator[tuple[str, float]]:
    """Yields every media range of `accept` in lower case with its weight, 0.0 to 1.0.

    A weight that is no number counts as 0, so that a garbled range never wins.
    """
    for item in accept.split(","):
        media, *parameters = (part.strip() for part in item.split(";"))
        if not media:
            continue
        weight = 1.0
        for parameter in parameters:
            name, _, value = parameter.partition("=")
            if name.strip().lower() == "q":
                weight = min(1.0, float(value)) if _WEIGHT.fullmatch(value.strip()) else 0.0
        yield media.lower(), weight


def preference(accept: str | None, media_type: str, *, exact: bool = False) -> float:
    """How much `accept` wants `media_type`: 0.0 (not at all) to 1.0.

    The most specific matching range decides; `exact` leaves wildcards out. A missing header
    accepts everything.
    """
    if not accept:
        return 0.0 if exact else 1.0
    family = media_type.partition("/")[0] + "/*"
    best, weight = -1, 0.0
    for media, quality in media_ranges(accept):
        if media == media_type:
            specificity = 2
        elif exact:
            continue
        elif media == family:
            specificity = 1
        elif media == "*/*":
            specificity = 0
        else:
            continue
        if specificity > best:
            best, weight = specificity, quality
    return weight
