"""What `bench.tasks_scale` asks for when nothing is to be asked for twice.

Each case draws its values at random, the same ones at each run and for either size: a value passes
as many of a hundred tasks whether there are a thousand or a hundred thousand of them. How many are
on a page is drawn as well, so that two requests differ even where their filters do not.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from urllib.parse import urlencode

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
# The due dates of the tasks are in so many seconds from there on.
DUE_SECONDS = 1_000_000
# Each task has one of the first and one of the numbered words.
WORDS = ("report", "budget", "garden", "travel", "music")
NUMBERED = 700


class Filled(NamedTuple):
    """An owner's tasks: how many, and when the newest was made, the others a second apart."""

    size: int
    at: datetime


Values = Mapping[str, object]
Draw = Callable[[random.Random, Filled], Values]


def _due(chance: random.Random, share: float = 1.0) -> str:
    return _text(BEGAN + timedelta(seconds=chance.random() * DUE_SECONDS * share))


def _made(chance: random.Random, filled: Filled) -> str:
    return _text(filled.at - timedelta(seconds=chance.random() * filled.size))


def _text(moment: datetime) -> str:
    return moment.isoformat()


def _rare(chance: random.Random) -> str:
    return f"word{chance.randrange(NUMBERED)}"


def _common(chance: random.Random, number: int = 1, between: str = " ") -> str:
    return between.join(chance.sample(WORDS, number))


def _few_pages(chance: random.Random) -> Values:
    return {"page": chance.randint(1, 7)}


def _page(chance: random.Random, filled: Filled) -> Values:
    """A page from the first to the last; the share of tasks before it is what is drawn."""
    size = chance.randint(15, 25)
    pages = filled.size // size
    return {"page": 1 + int(chance.random() * pages), "page_size": size}


FRESH: Mapping[str, Draw] = {
    "any page": _page,
    "any page, by title": lambda chance, filled: {"sort": "title", **_page(chance, filled)},
    "any page, by due date": lambda chance, filled: {"sort": "due_date", **_page(chance, filled)},
    "any page, urgent first": lambda chance, filled: {
        "sort": "-priority,due_date",
        **_page(chance, filled),
    },
    "any page, open": lambda chance, filled: {
        "completed": "false",
        **_page(chance, filled._replace(size=filled.size // 2)),
    },
    "any page, due before": lambda chance, filled: {
        "due_before": _due(chance, 0.5),
        "page": 1 + int(chance.random() * filled.size / 400),
    },
    "label, priority": lambda chance, _: {
        "label": f"label{chance.randrange(20)}",
        "priority": chance.randint(1, 5),
        "completed": chance.choice(["true", "false"]),
    },
    "label, priorities": lambda chance, _: {
        "label": f"label{chance.randrange(20)}",
        "min_priority": chance.randint(1, 3),
        "max_priority": chance.randint(3, 5),
        "sort": "due_date",
    },
    "due before": lambda chance, _: {"due_before": _due(chance)},
    "due after": lambda chance, _: {"due_after": _due(chance)},
    "due between": lambda chance, _: {"due_after": _due(chance, 0.5), "due_before": _due(chance)},
    "due before, by due date": lambda chance, _: {"due_before": _due(chance), "sort": "due_date"},
    "due before, open, label": lambda chance, _: {
        "due_before": _due(chance),
        "completed": "false",
        "label": f"label{chance.randrange(20)}",
    },
    "due before, urgent": lambda chance, _: {
        "due_before": _due(chance),
        "min_priority": 4,
        "sort": "-priority,due_date",
    },
    "created after": lambda chance, filled: {"created_after": _made(chance, filled)},
    "updated after": lambda chance, filled: {"updated_after": _made(chance, filled)},
    "created after, completed": lambda chance, filled: {
        "created_after": _made(chance, filled),
        "completed": "true",
    },
    "q, a rare word": lambda chance, _: {"q": _rare(chance)},
    "q, a common word": lambda chance, _: {"q": _common(chance), **_few_pages(chance)},
    "q, common and rare": lambda chance, _: {"q": f"{_common(chance)} {_rare(chance)}"},
    "q, two common": lambda chance, _: {"q": _common(chance, 2, " or ")},
    "q, without a common": lambda chance, _: {
        "q": f"task -{_common(chance)}",
        **_few_pages(chance),
    },
    "q, a phrase": lambda chance, _: {
        "q": f'"about {_common(chance)}"',
        **_few_pages(chance),
    },
    "q, common, due before": lambda chance, _: {
        "q": _common(chance),
        "due_before": _due(chance),
    },
    "q, common, open, by title": lambda chance, _: {
        "q": _common(chance),
        "completed": "false",
        "sort": "title",
        **_few_pages(chance),
    },
    "walk": lambda _, __: {"cursor": ""},
    "walk, by due date": lambda _, __: {"cursor": "", "sort": "due_date"},
    "walk, due before": lambda chance, _: {"cursor": "", "due_before": _due(chance)},
    "walk, label": lambda chance, _: {"cursor": "", "label": f"label{chance.randrange(20)}"},
    "walk, q, a common word": lambda chance, _: {"cursor": "", "q": _common(chance)},
}


class Questions:
    """The requests of one case to one owner, one after the other.

    A walk goes on where the last page ended, and begins another list at its end.
    """

    def __init__(self, name: str, filled: Filled) -> None:
        self._draw = FRESH[name]
        self._chance = random.Random(name)
        self._filled = filled
        self._values: dict[str, object] = {}

    def next(self, answer: Mapping[str, object]) -> str:
        """The query string of the next request; `answer` is that to the last one, or empty."""
        cursor = answer.get("next_cursor")
        if cursor is None:
            self._values = {"page_size": self._chance.randint(15, 25)}
            self._values |= self._draw(self._chance, self._filled)
        else:
            self._values["cursor"] = cursor
        return urlencode(self._values)
