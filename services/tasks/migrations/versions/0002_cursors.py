"""Secrets that all processes share, and an index for each order that had none."""

from alembic import op

revision = "0002"
down_revision = "0001"

# gen_random_uuid draws 122 bits from the strong generator of the server.
_SECRETS = (
    "CREATE TABLE secrets (name text PRIMARY KEY, value bytea NOT NULL)",
    """
    INSERT INTO secrets VALUES (
        'cursors', sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()))
    )
    """,
)
_INDEXES = (
    "CREATE INDEX tasks_by_title ON tasks (owner_id, title, id) WHERE deleted_at IS NULL",
    "CREATE INDEX tasks_by_completion ON tasks (owner_id, completed, id) WHERE deleted_at IS NULL",
)


def upgrade() -> None:
    for statement in (*_SECRETS, *_INDEXES):
        op.execute(statement)
