"""What PostgreSQL says of itself: size, replicas and the last backup, for those who watch it."""

from __future__ import annotations

import asyncio
import math
from datetime import datetime

import asyncpg
import structlog
from prometheus_client import CollectorRegistry, Gauge

from shared.database import Database
from shared.errors import ServiceUnavailable

log = structlog.get_logger(__name__)

LOOK_SECONDS = 15.0
# What deploy/backup/backup.sh writes as the comment of the database, before a time of RFC 3339.
BACKUP_NOTE = "last backup "
# Who may not read the statistics of others sees rows without content: the lag of a replica is then
# unknown, but where there is no row there is none that could lag.
# A replica that has caught up reports no lag in seconds; one that hangs goes on reporting its
# last, so the bytes that it lacks count as well. A server in recovery has no replicas of ours.
_FIGURES = """
    SELECT pg_database_size(current_database()) AS size,
        count(replica.pid) AS replicas,
        CASE WHEN count(replica.pid) = 0 OR pg_has_role('pg_read_all_stats', 'USAGE')
            THEN coalesce(max(extract(epoch FROM replica.replay_lag)), 0)::float8
        END AS lag_seconds,
        CASE WHEN count(replica.pid) = 0 OR pg_has_role('pg_read_all_stats', 'USAGE')
            THEN coalesce(max(CASE WHEN NOT pg_is_in_recovery()
                THEN pg_wal_lsn_diff(pg_current_wal_lsn(), replica.replay_lsn) END), 0)::float8
        END AS lag_bytes,
        (SELECT shobj_description(oid, 'pg_database') FROM pg_database
            WHERE datname = current_database()) AS note
    FROM pg_stat_replication AS replica WHERE coalesce(replica.state, 'streaming') = 'streaming'
"""


class DatabaseFigures:
    """Asks every 15 seconds. Figures that cannot be had are NaN; 0 means that there is none."""

    def __init__(self, database: Database, registry: CollectorRegistry, *, room_bytes: int) -> None:
        self._database = database
        self._size = Gauge("db_size_bytes", "Size of the database on disk", registry=registry)
        self._replicas = Gauge("db_replicas", "Replicas that stream from here", registry=registry)
        self._lag_seconds = Gauge(
            "db_replica_lag_seconds", "How late the slowest replica replays", registry=registry
        )
        self._lag_bytes = Gauge(
            "db_replica_lag_bytes", "What the slowest replica has not replayed", registry=registry
        )
        self._backup = Gauge(
            "db_backup_timestamp_seconds", "When the last backup ended", registry=registry
        )
        Gauge(
            "db_room_bytes", "What the database may grow to; 0: not known", registry=registry
        ).set(room_bytes)
        self._forget()

    async def watch(self) -> None:
        """Asks for ever; a background task runs it."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Takes the figures once; those of a database that is away are unknown."""
        try:
            async with self._database.connection() as connection:
                found = await connection.fetchrow(_FIGURES)
        except (ServiceUnavailable, asyncpg.PostgresError) as error:
            # What a managed server forbids must not end the watch.
            log.warning("database_figures_unknown", error=repr(error))
            self._forget()
            return
        self._size.set(found["size"])
        self._replicas.set(found["replicas"])
        self._lag_seconds.set(_known(found["lag_seconds"]))
        self._lag_bytes.set(_known(found["lag_bytes"]))
        self._backup.set(backup_time(found["note"]))

    def _forget(self) -> None:
        for gauge in (
            self._size, self._replicas, self._lag_seconds, self._lag_bytes, self._backup,
        ):  # fmt: skip
            gauge.set(math.nan)


def _known(figure: float | None) -> float:
    return math.nan if figure is None else figure


def backup_time(note: str | None) -> float:
    """Epoch seconds of the backup that a database's comment tells of; 0 when it tells of none."""
    if note is None or not note.startswith(BACKUP_NOTE):
        return 0.0
    try:
        ended = datetime.fromisoformat(note.removeprefix(BACKUP_NOTE).strip())
    except ValueError:
        return 0.0
    return ended.timestamp() if ended.tzinfo is not None else 0.0
