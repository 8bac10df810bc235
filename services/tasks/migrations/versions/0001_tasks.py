"""The table of tasks with the indexes of its lists."""

from alembic import op

revision = "0001"
down_revision = None

# Titles sort by code point on every server, whatever its locale.
# The foreign key waits for the end of the transaction: in an import a child may come before its
# parent. Removing a deleted parent for good leaves its deleted children without one.
_TABLE = """
    CREATE TABLE tasks (
        id uuid PRIMARY KEY,
        owner_id uuid NOT NULL,
        title text COLLATE "C" NOT NULL CHECK (char_length(title) BETWEEN 1 AND 200),
        description text CHECK (char_length(description) <= 10000),
        priority smallint NOT NULL CHECK (priority BETWEEN 1 AND 5),
        due_date timestamptz,
        completed boolean NOT NULL,
        completed_at timestamptz CHECK (completed OR completed_at IS NULL),
        labels text[] NOT NULL CHECK (cardinality(labels) <= 20),
        parent_id uuid REFERENCES tasks (id) ON DELETE SET NULL DEFERRABLE INITIALLY DEFERRED,
        external_id text CHECK (char_length(external_id) BETWEEN 1 AND 200),
        version bigint NOT NULL,
        created_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL,
        deleted_at timestamptz
    )
"""

# The parser takes a path, a host or a version for one word. With these characters out of the way
# every part of `cmd/sync.go` is found; queries lose the same characters.
_SEARCH = r"""
    ALTER TABLE tasks ADD COLUMN search tsvector NOT NULL GENERATED ALWAYS AS (
        setweight(to_tsvector('simple', translate(title, '/.:@_=<>&', '         ')), 'A') ||
        setweight(
            to_tsvector('simple', translate(coalesce(description, ''), '/.:@_=<>&', '         ')),
            'B'
        )
    ) STORED
"""

_INDEXES = (
    """
    CREATE UNIQUE INDEX tasks_external_id_key ON tasks (owner_id, external_id)
        WHERE deleted_at IS NULL AND external_id IS NOT NULL
    """,
    "CREATE INDEX tasks_by_creation ON tasks (owner_id, created_at, id) WHERE deleted_at IS NULL",
    "CREATE INDEX tasks_by_update ON tasks (owner_id, updated_at, id) WHERE deleted_at IS NULL",
    "CREATE INDEX tasks_by_due_date ON tasks (owner_id, due_date, id) WHERE deleted_at IS NULL",
    "CREATE INDEX tasks_by_priority ON tasks (owner_id, priority, id) WHERE deleted_at IS NULL",
    "CREATE INDEX tasks_by_parent ON tasks (parent_id) WHERE parent_id IS NOT NULL",
    "CREATE INDEX tasks_by_label ON tasks USING gin (labels) WHERE deleted_at IS NULL",
    "CREATE INDEX tasks_by_word ON tasks USING gin (search) WHERE deleted_at IS NULL",
    "CREATE INDEX tasks_in_trash ON tasks (deleted_at) WHERE deleted_at IS NOT NULL",
)


def upgrade() -> None:
    for statement in (_TABLE, _SEARCH, *_INDEXES):
        op.execute(statement)
