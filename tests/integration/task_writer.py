"""Somebody who writes tasks of one owner at random, as the use-cases do."""

from __future__ import annotations

import random
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from services.tasks.changes import Change
from services.tasks.domain import Task, new_task
from services.tasks.repository.tasks import TaskRepository
from services.tasks.repository.trash import TrashRepository

OWNER = uuid.UUID(int=1)
NOW = datetime(2026, 6, 1, tzinfo=UTC)
WORDS = ("report", "budget", "garden/path", "a.b", "Größe")


class Writer:
    """Writes tasks as the use-cases do, at random."""

    def __init__(self, connection: Any, seed: int) -> None:
        self._connection = connection
        self._chance = random.Random(seed)
        self._live: list[uuid.UUID] = []
        self._trash: list[uuid.UUID] = []

    def fields(self) -> dict[str, Any]:
        chance = self._chance
        return {
            "title": " ".join(chance.choices(WORDS, k=2)),
            "description": chance.choice([None, *WORDS]),
            "priority": chance.randint(1, 5),
            "due_date": chance.choice([None, NOW + timedelta(hours=chance.randint(-99, 99))]),
            "completed": chance.random() < 0.5,
            "labels": chance.sample(["x", "y", "z"], k=chance.randint(0, 3)),
        }

    async def write(self) -> None:
        """One transaction of one kind."""
        kind = self._chance.choice([self._create, self._change, self._delete, self._restore])
        async with self._connection.transaction():
            await TaskRepository(self._connection).take_turn(OWNER)
            await kind()

    async def _create(self) -> None:
        tasks = TaskRepository(self._connection)
        created = NOW + timedelta(hours=self._chance.randint(-99, 99))
        parent = self._chance.choice([None, *self._live[-5:]])
        task = new_task(OWNER, {**self.fields(), "parent_id": parent}, created)
        await tasks.create(OWNER, [Change.of(None, task)])
        self._live.append(task.id)

    async def _change(self) -> None:
        if not self._live:
            return
        tasks = TaskRepository(self._connection)
        before = await tasks.find(OWNER, self._chance.choice(self._live))
        assert before is not None
        fields = self.fields()
        some = self._chance.sample(sorted(fields), k=2)
        after = before.changed({name: fields[name] for name in some}, NOW)
        if after is not before:
            await tasks.save(before, after)
            await tasks.record(OWNER, [Change.of(before, after)])

    async def _delete(self) -> None:
        if not self._live:
            return
        tasks = TaskRepository(self._connection)
        gone: list[Task] = await tasks.delete(self._chance.choice(self._live), NOW)
        await tasks.record(OWNER, [Change.deletion(task) for task in gone])
        self._live = [one for one in self._live if one not in {task.id for task in gone}]
        self._trash.append(gone[0].id)

    async def _restore(self) -> None:
        if not self._trash:
            return
        trash = TrashRepository(self._connection)
        found = await trash.find_deleted(OWNER, self._trash.pop())
        if found is None:
            return
        back = await trash.restore(found, None, NOW)
        await trash.record(OWNER, [Change.restoration(task) for task in back])
        self._live += [task.id for task in back]
