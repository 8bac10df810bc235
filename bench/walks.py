"""Requests that differ: many tasks of several owners, asked for in turn.

What a gateway or a service remembers of one request on one connection helps little here, as it
helps little where many people ask. The same walk is made for every stack.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.wire import Request

OWNERS = 10
TASKS_EACH = 100
_PAGE = 20
_LISTS = 9  # asked for after each write

Headers = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Owner:
    """Who asks: his headers, and the ids of his tasks."""

    headers: Headers
    ids: Sequence[str]


def walks(tasks_url: str, owners: Sequence[Owner]) -> dict[str, tuple[Request, ...]]:
    """What is measured by what it does; `tasks_url` is the collection of tasks."""
    creates = tuple(
        Request(
            tasks_url,
            "POST",
            {**owner.headers, "Content-Type": "application/json"},
            json.dumps(task(number)),
        )
        for number in range(TASKS_EACH)
        for owner in owners
    )
    lists = tuple(
        Request(f"{tasks_url}?page={page}&page_size={_PAGE}", headers=owner.headers)
        for page in range(1, TASKS_EACH // _PAGE + 1)
        for owner in owners
    )
    return {
        "GET one of 1 000": tuple(
            Request(f"{tasks_url}/{owner.ids[at]}", headers=owner.headers)
            for at in range(TASKS_EACH)
            for owner in owners
        ),
        "list of 10 owners": lists,
        "9 lists and 1 create": tuple(
            request
            for turn in range(len(lists))
            for request in (
                creates[turn],
                *(lists[(turn * _LISTS + at) % len(lists)] for at in range(_LISTS)),
            )
        ),
        "create by 10 owners": creates,
    }


def task(number: int) -> dict[str, object]:
    """The input of one task, of ordinary size; they differ in their lengths."""
    return {
        "title": f"Measure what request {number} costs" + "!" * (number % 7),
        "description": "Compare the figures of two versions before and after a change. "
        * (number % 5 + 1),
        "priority": number % 5 + 1,
    }
