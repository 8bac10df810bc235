"""Catalogues of owners with very many tasks: made in the background, moved on by the feed."""

from __future__ import annotations

import asyncio
import functools
import operator
from array import array
from collections import OrderedDict
from collections.abc import Sequence
from uuid import UUID

import asyncpg
import structlog

from services.tasks.catalogue.bits import gathered
from services.tasks.catalogue.catalogue import MOMENTS, TITLE_BYTES, Catalogue, TaskState
from services.tasks.repository.counts import LAST_CHANGE, SEARCHED
from services.tasks.repository.feed import REVISION, sequence_of
from services.tasks.repository.searches import Searches
from shared.database import Connection, Store
from shared.errors import ServiceUnavailable

log = structlog.get_logger(__name__)

# The lists of an owner with fewer tasks cost the same without.
SMALLEST = 5_000
# A hundred thousand tasks take 5 MB, and 12 MB with as many labels and words as there may be.
LARGEST = 300_000
_MOST_TASKS = LARGEST
# A catalogue that is further behind is made anew.
_MOST_CHANGES = 2_000
# So many changes are read and taken in at once: a request waits for some, and not for all.
_STRIDE = 50
# So many are taken in before others have a turn.
_TURN = 5
# Labels and words that fewer of a hundred tasks have are found by an index.
_COMMON_SHARE = 200
_MOST_COMMON = 256
# Making one keeps the database busy for some seconds, so it rests for longer.
_PAUSE_SECONDS = 5.0
_PAUSE_FACTOR = 5
_MOST_WAITING = 100

_MOMENTS = ", ".join(
    f"coalesce(string_agg(timestamptz_send(coalesce({name}, '-infinity')), '' ORDER BY id), '')"
    for name in MOMENTS
)
# The bytes of a title sort as the title does; what is shorter ends with noughts.
_TITLE = f"""
    substr(
        convert_to(title, 'UTF8') || decode(repeat('00', {TITLE_BYTES}), 'hex'), $2, {TITLE_BYTES}
    )
"""
_COLUMNS = f"""
    SELECT coalesce(string_agg(uuid_send(id), '' ORDER BY id), ''),
        coalesce(string_agg(decode(to_hex(16 + priority), 'hex'), '' ORDER BY id), ''),
        coalesce(string_agg(decode(to_hex(16 + completed::int), 'hex'), '' ORDER BY id), ''),
        coalesce(string_agg({_TITLE}, '' ORDER BY id), ''), {_MOMENTS}
    FROM tasks WHERE owner_id = $1 AND deleted_at IS NULL
"""
# Those columns behind the ids, and how many bytes each value has.
_NAMES = ("priority", "completed", "title", *MOMENTS)
_WIDTHS = (1, 1, TITLE_BYTES, *(8 for _ in MOMENTS))
_COMMON = """
    SELECT name, string_agg(int4send(place::int), '') FROM (
        SELECT {names} AS names, row_number() OVER (ORDER BY id) - 1 AS place
        FROM tasks WHERE owner_id = $1 AND deleted_at IS NULL
    ) AS numbered, unnest(names) AS name
    GROUP BY name HAVING count(*) >= $2 ORDER BY count(*) DESC, name LIMIT $3
"""
_LABELS = _COMMON.format(names="labels")
_WORDS = _COMMON.format(names="tsvector_to_array(search)")
_STANDS = f"""
    SELECT {REVISION}, live, ({LAST_CHANGE}),
        (SELECT ARRAY[min(title), max(title)] FROM tasks
            WHERE owner_id = $1 AND deleted_at IS NULL)
    FROM feeds WHERE owner_id = $1
"""
_SEARCHED = SEARCHED.format(title="(after).title", description="(after).description")
# Nothing when the feed has another history, or a part that is not kept any more.
_SINCE = f"""
    SELECT feed.revision, sequence, change_id, changed.id, changed.type <> 'task.deleted',
        (after).title, (after).completed, (after).priority, (after).due_date,
        (after).created_at, (after).updated_at, (after).labels, tsvector_to_array({_SEARCHED})
    FROM (SELECT {REVISION} AS revision FROM feeds WHERE owner_id = $1) AS feed
    LEFT JOIN LATERAL (
        SELECT sequence, id AS change_id, type, task_id AS id,
            json_populate_record(NULL::tasks, task) AS after
        FROM changes WHERE owner_id = $1 AND sequence > $2 ORDER BY sequence LIMIT {_STRIDE}
    ) AS changed ON true
    WHERE EXISTS (
        SELECT 1 FROM changes WHERE owner_id = $1 AND sequence = $2 AND id = $3
    ) ORDER BY changed.sequence
"""


class CatalogueReader:
    """Reads what catalogues are made of by one connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def read(self, owner_id: UUID) -> Catalogue | None:
        """The catalogue of an owner's tasks, None for too many. Needs one state of the data."""
        row = await self._connection.fetchrow(_STANDS, owner_id)
        if row is None or row[1] > LARGEST:
            return None
        prefix = _beginning(*((title or "").encode() for title in row[3]))
        columns = await self._connection.fetchrow(_COLUMNS, owner_id, len(prefix) + 1)
        made = Catalogue(columns[0], prefix)
        made.revision, made.change_id = row[0], row[2]
        for name, width, values in zip(_NAMES, _WIDTHS, columns[1:], strict=True):
            column = made.columns[name]
            for byte in range(width):
                column.fill(byte, values[byte::width])
                await asyncio.sleep(0)
            column.known = made.live
            if name in MOMENTS:
                # The highest bit is the sign: what is without it comes later. No bit is no moment.
                column.slices[0] ^= made.live
                column.known = functools.reduce(operator.or_, column.slices)
        await self._common(_LABELS, owner_id, made, made.labels)
        await self._common(_WORDS, owner_id, made, made.words)
        return made

    async def move(self, owner_id: UUID, catalogue: Catalogue) -> bool:
        """Takes in what has changed since, or a part of it; False when that cannot be told."""
        before, change_id = catalogue.revision, catalogue.change_id
        if change_id is None or not before:
            return False
        sequence = sequence_of(before)
        rows = await self._connection.fetch(_SINCE, owner_id, sequence, change_id)
        if catalogue.revision != before:
            # Somebody else has moved it meanwhile.
            return True
        if not rows or rows[-1][1] is None:
            # Another revision without a change tells that something else has happened.
            return bool(rows and rows[0][0] == before)
        revision, reached, reached_id = rows[-1][:3]
        behind = sequence_of(revision) - reached
        if len(rows) != reached - sequence or not 0 <= behind <= _MOST_CHANGES:
            # One of them is not kept any more, or they are too many.
            return False
        catalogue.revision = ""
        for at, row in enumerate(rows, 1):
            catalogue.change(TaskState(*row[3:]))
            if at % _TURN == 0:
                await asyncio.sleep(0)
        catalogue.behind = behind > 0
        catalogue.revision = f"{reached}.behind" if behind else revision
        catalogue.change_id = reached_id
        return True

    async def _common(
        self, query: str, owner_id: UUID, catalogue: Catalogue, sets: dict[str, int]
    ) -> None:
        least = max(1, len(catalogue) // _COMMON_SHARE)
        try:
            async with self._connection.transaction():
                rows = await self._connection.fetch(query, owner_id, least, _MOST_COMMON)
        except asyncpg.QueryCanceledError:
            # Their texts are too long to be read in one go; about words the index is asked.
            log.warning("catalogue_incomplete", owner_id=str(owner_id), tasks=len(catalogue))
            return
        for name, places in rows:
            sets[name] = gathered(_numbers(places), len(catalogue))
            await asyncio.sleep(0)


def _beginning(one: bytes, other: bytes) -> bytes:
    """What both begin with."""
    differ = (at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b)
    return one[: next(differ, min(len(one), len(other)))]


def _numbers(text: bytes) -> Sequence[int]:
    """Whole numbers of four bytes, the highest first."""
    numbers = array("i", text)
    numbers.byteswap()
    return numbers


class Catalogues:
    """The catalogues that this process has, of a bounded number of tasks; the least used make room.

    They are made one after the other. What is asked meanwhile is asked of the database.
    """

    def __init__(self, readers: Store[CatalogueReader], smallest: int = SMALLEST) -> None:
        self._readers = readers
        self._smallest = smallest
        self._held: OrderedDict[UUID, Catalogue] = OrderedDict()
        self._wanted: OrderedDict[UUID, None] = OrderedDict()
        self._resting: OrderedDict[UUID, float] = OrderedDict()
        self._making: asyncio.Task[None] | None = None
        self.searches = Searches()

    def get(self, owner_id: UUID) -> Catalogue | None:
        """The catalogue of an owner's tasks at some revision, where there is one."""
        found = self._held.get(owner_id)
        if found is None or not found.revision:
            return None
        self._held.move_to_end(owner_id)
        return found

    def want(self, owner_id: UUID, tasks: int) -> None:
        """Has a catalogue made of an owner with so many tasks, if they are many, and soon."""
        if not self._smallest <= tasks <= LARGEST or owner_id in self._held:
            return
        if len(self._wanted) >= _MOST_WAITING or self._rests(owner_id):
            return
        self._wanted[owner_id] = None
        if self._making is None or self._making.done():
            self._making = asyncio.create_task(self._make_all())

    async def move(self, connection: Connection, owner_id: UUID, catalogue: Catalogue) -> bool:
        """Moves it on to what its owner's tasks are like now; False when there is none any more."""
        moved = False
        try:
            moved = await CatalogueReader(connection).move(owner_id, catalogue)
        finally:
            if not moved and self._held.get(owner_id) is catalogue:
                del self._held[owner_id]
        # New words have become common, and many places are of tasks that are gone.
        if catalogue.changes > max(SMALLEST, len(catalogue)):
            self._held.pop(owner_id, None)
        return moved

    async def made(self) -> None:
        """Waits until all that are wanted have been made."""
        if self._making is not None:
            await asyncio.wait([self._making])

    async def close(self) -> None:
        """Makes no more."""
        self._wanted.clear()
        if self._making is not None:
            self._making.cancel()
            await asyncio.wait([self._making])

    async def _make_all(self) -> None:
        now = asyncio.get_running_loop().time
        while self._wanted:
            owner_id = next(iter(self._wanted))
            began, tasks = now(), 0
            try:
                async with self._readers.snapshot() as reader:
                    made = await reader.read(owner_id)
                if made is not None:
                    self.hold(owner_id, made)
                    tasks = len(made)
            except ServiceUnavailable as error:
                log.warning("catalogue_failed", owner_id=str(owner_id), error=str(error))
            finally:
                self._wanted.pop(owner_id, None)
                took = now() - began
                self._resting[owner_id] = began + max(_PAUSE_SECONDS, _PAUSE_FACTOR * took)
            log.info("catalogue_made", owner_id=str(owner_id), tasks=tasks, seconds=took)
            # However many are wanted, the database has half of the time for everybody else.
            await asyncio.sleep(took)

    def hold(self, owner_id: UUID, made: Catalogue) -> None:
        """Keeps a catalogue in the place of an older one."""
        self._held[owner_id] = made
        while sum(map(len, self._held.values())) > _MOST_TASKS:
            self._held.popitem(last=False)

    def _rests(self, owner_id: UUID) -> bool:
        now = asyncio.get_running_loop().time()
        while self._resting and next(iter(self._resting.values())) < now:
            self._resting.popitem(last=False)
        return owner_id in self._wanted or self._resting.get(owner_id, 0.0) > now
