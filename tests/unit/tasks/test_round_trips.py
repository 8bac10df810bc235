"""Whatever a task says, a file that we wrote gives it back: as far as the format goes."""

import asyncio
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from services.tasks.domain import ExportedTask
from services.tasks.transfer.formats import FORMATS
from services.tasks.transfer.intake import Intake

# Many more with TASKLANE_ROUND_TRIPS=5000.
EXAMPLES = int(os.environ.get("TASKLANE_ROUND_TRIPS", "40"))

# Words that mean something in one of the formats; a title may hold them all the same.
LOADED = [
    "x", "X", "(A)", "(z)", "2026-01-02", "2026-99-99", "due:2026-01-02", "due:soon",
    "pri:B", "id:7", "p:7", "note:n", "rec:1w", "full_title:x", "@home", "+garden", "@", "+", "a;b",
    "a,b", '"', '""', "'", "\\", "\\n", "\\;", "%20", "%", "BEGIN:VTODO", "END:VTODO", "a:b:c",
    "http://example.org/?q=1", "due_at:2026-01-02T00:00:00Z", "created_at:x", "=1+1", "-", "--",
]  # fmt: skip
CHARACTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\x00")
LETTERS = st.text(CHARACTERS, min_size=1, max_size=12)
WORDS = st.lists(st.sampled_from(LOADED) | LETTERS, min_size=1, max_size=6)
BLANKS = st.sampled_from([" ", "  ", "\t", "\n", "\u2028", "\u00a0", "\r\n", "\x1c"])
TEXTS = st.tuples(WORDS, BLANKS).map(lambda both: both[1].join(both[0])[:200])
MOMENTS = st.integers(0, int(timedelta(days=3_652_000) / timedelta(microseconds=1)))
TIMES = MOMENTS.map(lambda us: datetime(1, 1, 2, tzinfo=UTC) + timedelta(microseconds=us))
LABELS = st.lists(TEXTS.map(lambda text: text[:50]), max_size=5, unique=True)
ENDS = st.sampled_from([(False, None), (True, None)]) | TIMES.map(lambda at: (True, at))
TASKS = st.builds(
    lambda end, **fields: ExportedTask(completed=end[0], completed_at=end[1], **fields),
    end=ENDS,
    external_id=TEXTS,
    title=TEXTS,
    description=st.none() | TEXTS,
    priority=st.integers(1, 5),
    created_at=TIMES,
    due_date=st.none() | TIMES,
    labels=LABELS,
    parent_external_id=st.none() | TEXTS,
    id=st.just(UUID(int=0)),
)


async def chunks(body: bytes) -> AsyncIterator[bytes]:
    yield body


def read(name: str, body: bytes) -> tuple[list[Any], list[Any]]:
    with Intake() as intake:

        async def work() -> None:
            await FORMATS[name].read(chunks(body), intake)

        asyncio.run(work())
        return [intake.task(at) for at in range(len(intake.candidates))], intake.refusals


def held(name: str, task: ExportedTask) -> dict[str, Any]:
    """What the format can say of the task."""
    said = {**task._asdict()}
    del said["id"]
    if name == "ics":
        # RFC 5545 sections 3.3.5 and 3.3.11: whole seconds, and one kind of line break.
        for field in ("completed_at", "created_at", "due_date"):
            if said[field] is not None:
                said[field] -= timedelta(microseconds=said[field].microsecond)
        for field in ("external_id", "title", "description", "parent_external_id"):
            said[field] = said[field] and one_kind_of_break(said[field])
        said["labels"] = list(dict.fromkeys(map(one_kind_of_break, task.labels)))
    return said


def titled(title: str) -> ExportedTask:
    return ExportedTask(
        completed=False,
        completed_at=None,
        external_id="\ufeffid",
        title=title,
        description="\ufefftext  ",
        priority=1,
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        due_date=None,
        labels=["\ufeffone", "\ufefftwo"],
        parent_external_id="\ufeffparent",
        id=UUID(int=0),
    )


def one_kind_of_break(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


@pytest.mark.parametrize("name", sorted(FORMATS))
@settings(max_examples=EXAMPLES, deadline=None)
@given(task=TASKS)
# Folded, its end is a line of blanks only.
@example(task=titled("x (A) http://example.org/?q=1 due_at:2026-01-02T00:00:00Z 0000000  "))
@example(task=titled("\ufeffa byte order mark is a character like any other"))
def test_a_task_comes_back_as_it_was(name: str, task: ExportedTask) -> None:
    form = FORMATS[name]
    tasks, refusals = read(name, form.head + form.write(task) + form.tail)
    assert refusals == []
    assert [one._asdict() for one in tasks] == [held(name, task)]
