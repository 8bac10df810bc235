"""How far the feed of deleted accounts has been read, and whose data has still to go."""

from alembic import op

revision = "0008"
down_revision = "0007"

_TABLES = (
    """
    CREATE TABLE account_feed (
        only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
        sequence bigint NOT NULL
    )
    """,
    "INSERT INTO account_feed (sequence) VALUES (0)",
    # A token that was good a moment ago may still write: what belongs to an owner who is gone is
    # looked for once more when `until` is over.
    """
    CREATE TABLE erasures (
        owner_id uuid PRIMARY KEY,
        look_at timestamptz NOT NULL,
        until timestamptz NOT NULL
    )
    """,
    "CREATE INDEX erasures_due ON erasures (look_at)",
)


def upgrade() -> None:
    for statement in _TABLES:
        op.execute(statement)
