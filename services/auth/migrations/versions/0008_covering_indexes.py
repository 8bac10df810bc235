"""Indexes that answer by themselves whether a session, a key or a lock is good."""

from alembic import op

revision = "0008"
down_revision = "0007"

# What only asks whether something is there, or how many there are, reads no row of the table.
_CHANGES = (
    """
    CREATE UNIQUE INDEX sessions_by_id ON sessions (id)
    INCLUDE (user_id, idle_expires_at, ended_at)
    """,
    """
    ALTER TABLE sessions DROP CONSTRAINT sessions_pkey,
        ADD CONSTRAINT sessions_pkey PRIMARY KEY USING INDEX sessions_by_id
    """,
    """
    CREATE UNIQUE INDEX failed_guesses_by_subject ON failed_guesses (subject)
    INCLUDE (locked_until)
    """,
    """
    ALTER TABLE failed_guesses DROP CONSTRAINT failed_guesses_pkey,
        ADD CONSTRAINT failed_guesses_pkey PRIMARY KEY USING INDEX failed_guesses_by_subject
    """,
    "CREATE UNIQUE INDEX api_keys_by_id ON api_keys (id) INCLUDE (user_id, expires_at)",
    """
    ALTER TABLE api_keys DROP CONSTRAINT api_keys_pkey,
        ADD CONSTRAINT api_keys_pkey PRIMARY KEY USING INDEX api_keys_by_id
    """,
    "CREATE INDEX api_keys_good_of_user ON api_keys (user_id) INCLUDE (expires_at)",
    "DROP INDEX api_keys_of_user",
    "ALTER INDEX api_keys_good_of_user RENAME TO api_keys_of_user",
)


def upgrade() -> None:
    for statement in _CHANGES:
        op.execute(statement)
