"""Accounts, sessions, counters of failed guesses, and the keys that auth makes for itself."""

from alembic import op

revision = "0001"
down_revision = None

_TABLES = (
    """
    CREATE TABLE users (
        id uuid PRIMARY KEY,
        name text NOT NULL,
        email text NOT NULL CHECK (email = lower(email)),
        password_hash text NOT NULL,
        password_changed_at timestamptz NOT NULL,
        role text NOT NULL CHECK (role IN ('admin', 'moderator', 'user', 'readonly')),
        tier text NOT NULL CHECK (tier IN ('default', 'premium', 'admin')),
        is_active boolean NOT NULL DEFAULT true,
        email_verified boolean NOT NULL DEFAULT false,
        mfa_enabled boolean NOT NULL DEFAULT false,
        epoch integer NOT NULL DEFAULT 0,
        created_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL,
        CONSTRAINT users_email_key UNIQUE (email)
    )
    """,
    """
    CREATE TABLE sessions (
        id uuid PRIMARY KEY,
        user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
        refresh_counter integer NOT NULL DEFAULT 0,
        created_at timestamptz NOT NULL,
        used_at timestamptz NOT NULL,
        idle_expires_at timestamptz NOT NULL,
        expires_at timestamptz NOT NULL,
        ended_at timestamptz,
        ended_because text,
        CHECK ((ended_at IS NULL) = (ended_because IS NULL))
    )
    """,
    "CREATE INDEX sessions_of_user ON sessions (user_id) WHERE ended_at IS NULL",
    "CREATE INDEX sessions_to_purge ON sessions (idle_expires_at)",
    # `subject` is a keyed hash: the table tells nobody who has an account here.
    """
    CREATE TABLE failed_guesses (
        subject bytea PRIMARY KEY,
        failures integer NOT NULL,
        locked_until timestamptz,
        expires_at timestamptz NOT NULL
    )
    """,
    "CREATE INDEX failed_guesses_to_purge ON failed_guesses (expires_at)",
    """
    CREATE TABLE signing_keys (
        kid text PRIMARY KEY,
        private_key bytea NOT NULL,
        state text NOT NULL CHECK (state IN ('next', 'active', 'retired')),
        created_at timestamptz NOT NULL
    )
    """,
    "CREATE UNIQUE INDEX signing_keys_one_active ON signing_keys (state) WHERE state = 'active'",
    """
    CREATE TABLE sealing_keys (
        purpose text PRIMARY KEY,
        key bytea NOT NULL,
        created_at timestamptz NOT NULL
    )
    """,
)


def upgrade() -> None:
    for statement in _TABLES:
        op.execute(statement)
