"""API keys: what is kept of them is a hash."""

from alembic import op

revision = "0003"
down_revision = "0002"

_TABLES = (
    """
    CREATE TABLE api_keys (
        id uuid PRIMARY KEY,
        user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
        name text NOT NULL,
        hash bytea NOT NULL,
        last_four text NOT NULL,
        scopes text[] NOT NULL,
        created_at timestamptz NOT NULL,
        expires_at timestamptz,
        last_used_at timestamptz,
        CONSTRAINT api_keys_hash_key UNIQUE (hash)
    )
    """,
    "CREATE INDEX api_keys_of_user ON api_keys (user_id)",
    "CREATE INDEX api_keys_to_purge ON api_keys (expires_at) WHERE expires_at IS NOT NULL",
)


def upgrade() -> None:
    for statement in _TABLES:
        op.execute(statement)
