"""New tasks on their way to be stored: what comes while others are stored goes together."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from services.tasks.changes import Change
from services.tasks.domain import ExternalIdTaken
from services.tasks.repository.tasks import TaskRepository
from shared.batches import Batches
from shared.database import Store
from shared.groups import Groups


class Creations:
    """Stores new top-level tasks, those of all owners by one statement as long as none waits.

    An owner whose turn somebody else has, such as an import, holds up nobody but himself: his
    tasks wait for it in a line of his own.
    """

    def __init__(self, tasks: Store[TaskRepository]) -> None:
        self._tasks = tasks
        self._given: dict[UUID, Change] = {}
        # One at a time: a second statement would pass over the owners of the first.
        self._together = Batches(self._store, at_once=1)
        self._by_owner: Groups[UUID, Change] = Groups(self._store_in_turn)

    async def add(self, creation: Change) -> None:
        """Returns when the task is stored and told of. Raises ExternalIdTaken."""
        self._given[creation.id] = creation
        try:
            stored = await self._together.get(creation.id)
        finally:
            del self._given[creation.id]
        if not stored:
            await self._by_owner.do(creation.task.owner_id, creation)

    async def _store(self, ids: Sequence[UUID]) -> dict[UUID, bool]:
        # Whoever left before his task was begun does not want it any more.
        creations = [self._given[one] for one in ids if one in self._given]
        if not creations:
            return {}
        try:
            async with self._tasks.read() as repository:
                owners = await repository.create_unhindered(creations)
        except ExternalIdTaken:
            # Nobody suffers from a neighbour: each is tried again among his owner's.
            return {}
        return {one.id: True for one in creations if one.task.owner_id in owners}

    async def _store_in_turn(self, owner_id: UUID, creations: Sequence[Change]) -> None:
        async with self._tasks.read() as repository:
            await repository.create(owner_id, creations)
