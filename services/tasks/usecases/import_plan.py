"""Which lines of a file become tasks, with which ids, below which parents. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from services.tasks.domain import MAX_LEVELS
from services.tasks.transfer.intake import Candidate, Refusal
from shared.ids import uuid7

MISSING = "No task of yours and no other line of the file has this external_id."
REFUSED = "The line of the parent is refused."
CYCLE = "The parents lead round in a circle."
TOO_DEEP = f"Tasks nest at most {MAX_LEVELS} levels deep."


@dataclass(frozen=True, slots=True)
class Plan:
    """`new` gives each line to be imported, by external_id, the id of its task."""

    new: Mapping[str, UUID]
    known: Mapping[str, UUID]
    unchanged: int
    refusals: Sequence[Refusal]

    def parent_of(self, name: str | None) -> UUID | None:
        """The id of the parent that a line of `new` names."""
        if name is None:
            return None
        return self.new.get(name) or self.known[name]


def make_plan(
    candidates: Sequence[Candidate],
    known: Mapping[str, UUID],
    levels: Mapping[UUID, int],
    refused: Collection[str] = (),
) -> Plan:
    """Decides on every readable line of a file, or of a part of it.

    `known` are the owner's tasks by the names that the lines use, `levels` says how deep those of
    them are that lines name as parents and that still exist. `refused` are names of lines that
    another part has refused.
    """
    fresh = {c.external_id: c for c in candidates if c.external_id not in known}
    stored: dict[str, int | str] = dict.fromkeys(refused, REFUSED)
    stored |= {name: levels[task_id] for name, task_id in known.items() if task_id in levels}
    outcomes = _levels(fresh, stored)
    good = [name for name in fresh if not isinstance(outcomes[name], str)]
    # Ids made in the same millisecond have no order; sorted, they follow the file.
    ids = sorted(uuid7() for _ in good)
    refusals = [
        Refusal(candidate.line, {"parent_external_id": [reason]})
        for name, candidate in fresh.items()
        if isinstance(reason := outcomes[name], str)
    ]
    return Plan(
        new=dict(zip(good, ids, strict=True)),
        known=known,
        unchanged=len(candidates) - len(fresh),
        refusals=refusals,
    )


def parents_first(candidates: Sequence[Candidate], new: Collection[str]) -> Iterator[int]:
    """The places of the lines of `new` in the order of the file, but parents before children."""
    left = {c.external_id: place for place, c in enumerate(candidates) if c.external_id in new}
    for candidate in candidates:
        branch: list[int] = []
        name: str | None = candidate.external_id
        while name is not None and name in left:
            branch.append(left.pop(name))
            name = candidates[branch[-1]].parent_external_id
        yield from reversed(branch)


def _levels(
    fresh: Mapping[str, Candidate], stored: Mapping[str, int | str]
) -> dict[str, int | str]:
    """The level of each fresh line, or why it has none."""
    found: dict[str, int | str] = {}
    for start in fresh:
        path: dict[str, None] = {}
        name: str | None = start
        while name is not None and name in fresh and name not in found and name not in path:
            path[name] = None
            name = fresh[name].parent_external_id
        above: int | str
        if name is None:
            above = 0
        elif name in path:
            above = CYCLE
        elif name in found:
            above = _handed_down(found[name])
        else:
            above = stored.get(name, MISSING)
        for below in reversed(path):
            found[below] = _below(above)
            above = _handed_down(found[below])
    return found


def _handed_down(outcome: int | str) -> int | str:
    """What a line's outcome means for the lines below it."""
    return REFUSED if outcome in (MISSING, TOO_DEEP) else outcome


def _below(above: int | str) -> int | str:
    if isinstance(above, str):
        return above
    return above + 1 if above < MAX_LEVELS else TOO_DEEP
