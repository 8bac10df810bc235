"""The change feed: one row per owner that counts, one row per change."""

from alembic import op

revision = "0003"
down_revision = "0002"

# Locked first by every transaction that writes tasks of its owner, and held to its end: that is
# what makes `sequence` follow the order of the commits, without a gap.
_FEEDS = """
    CREATE TABLE feeds (
        owner_id uuid PRIMARY KEY,
        sequence bigint NOT NULL,
        live bigint NOT NULL,
        completed bigint NOT NULL
    ) WITH (fillfactor = 50)
"""
_CHANGES = """
    CREATE TABLE changes (
        owner_id uuid NOT NULL,
        sequence bigint NOT NULL,
        id uuid NOT NULL,
        type text NOT NULL,
        task_id uuid NOT NULL,
        at timestamptz NOT NULL,
        task json NOT NULL,
        previous json,
        PRIMARY KEY (owner_id, sequence)
    )
"""
_BY_AGE = "CREATE INDEX changes_by_age ON changes (at)"
# Tasks that are there already begin the feeds, as if they had just been created.
_BACKFILL = (
    """
    INSERT INTO feeds
    SELECT owner_id, count(*), count(*), count(*) FILTER (WHERE completed)
    FROM tasks WHERE deleted_at IS NULL GROUP BY owner_id
    """,
    """
    INSERT INTO changes
    SELECT owner_id, row_number() OVER (PARTITION BY owner_id ORDER BY created_at, id),
        gen_random_uuid(), 'task.created', id, now(),
        json_build_object(
            'id', id, 'title', title, 'description', description, 'priority', priority,
            'due_date', to_char(due_date, 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), 'completed', completed,
            'completed_at', to_char(completed_at, 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
            'labels', labels, 'parent_id', parent_id, 'external_id', external_id,
            'recurrence', NULL, 'version', version, 'etag', format('"%s.%s"', id, version),
            'created_at', to_char(created_at, 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
            'updated_at', to_char(updated_at, 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
        ), NULL
    FROM tasks WHERE deleted_at IS NULL
    """,
)


def upgrade() -> None:
    op.execute("SET LOCAL timezone TO 'UTC'")
    for statement in (_FEEDS, _CHANGES, *_BACKFILL, _BY_AGE):
        op.execute(statement)
