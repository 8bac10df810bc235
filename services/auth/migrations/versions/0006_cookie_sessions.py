"""Sessions that a cookie stands for, and the accounts that one address has failed to enter."""

from alembic import op

revision = "0006"
down_revision = "0005"

_CHANGES = (
    # The hash of the cookie's secret. A session has either this or refresh tokens.
    "ALTER TABLE sessions ADD COLUMN cookie_hash bytea",
    """
    CREATE UNIQUE INDEX sessions_by_cookie ON sessions (cookie_hash)
    WHERE cookie_hash IS NOT NULL
    """,
    # Both are keyed hashes: the table tells neither addresses of people nor of machines.
    """
    CREATE TABLE failed_entries (
        source bytea NOT NULL,
        subject bytea NOT NULL,
        expires_at timestamptz NOT NULL,
        PRIMARY KEY (source, subject)
    )
    """,
    "CREATE INDEX failed_entries_of_source ON failed_entries (source, expires_at)",
    "CREATE INDEX failed_entries_to_purge ON failed_entries (expires_at)",
)


def upgrade() -> None:
    for statement in _CHANGES:
        op.execute(statement)
