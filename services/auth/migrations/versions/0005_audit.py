"""The audit log with its chain and seals, and the feed of deleted accounts."""

from alembic import op

revision = "0005"
down_revision = "0004"

_TABLES = (
    # `sequence` and `hash` come a moment after the row, in the order of the commits. `origin_hash`
    # stands for address and device in the chain, so that these two can be erased with their salt.
    """
    CREATE TABLE audit_events (
        id uuid PRIMARY KEY,
        at timestamptz NOT NULL,
        event text NOT NULL,
        outcome text NOT NULL CHECK (outcome IN ('success', 'failure')),
        actor_id uuid,
        user_id uuid,
        subject bytea,
        address text,
        device text,
        origin_salt bytea,
        origin_hash bytea NOT NULL,
        request_id text NOT NULL,
        details text NOT NULL,
        sequence bigint,
        hash bytea,
        CONSTRAINT audit_events_sequence_key UNIQUE (sequence),
        CHECK ((sequence IS NULL) = (hash IS NULL))
    )
    """,
    "CREATE INDEX audit_unlinked ON audit_events (id) WHERE sequence IS NULL",
    "CREATE INDEX audit_by_time ON audit_events (at, id)",
    "CREATE INDEX audit_by_event ON audit_events (event, at, id)",
    "CREATE INDEX audit_of_user ON audit_events (user_id, at, id)",
    "CREATE INDEX audit_of_actor ON audit_events (actor_id, at, id)",
    (
        "CREATE INDEX audit_origins ON audit_events (coalesce(actor_id, user_id))"
        " WHERE origin_salt IS NOT NULL"
    ),
    # One row. Who links holds it, so there is one chain however many replicas there are.
    """
    CREATE TABLE audit_head (
        only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
        sequence bigint NOT NULL,
        hash bytea NOT NULL,
        purged_until bigint NOT NULL
    )
    """,
    (
        "INSERT INTO audit_head (sequence, hash, purged_until)"
        " VALUES (0, decode(repeat('00', 32), 'hex'), 0)"
    ),
    """
    CREATE TABLE audit_seals (
        sequence bigint PRIMARY KEY,
        token text NOT NULL,
        at timestamptz NOT NULL
    )
    """,
    # What seals are checked with outlives the signing keys themselves.
    """
    CREATE TABLE audit_seal_keys (
        kid text PRIMARY KEY,
        public_key bytea NOT NULL,
        first_used_at timestamptz NOT NULL
    )
    """,
    # As with revocations: numbers in the order of the commits. Rows stay, since a service that
    # was away for long, or was restored from a backup, must still learn of them.
    """
    CREATE TABLE deletion_head (
        only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
        sequence bigint NOT NULL
    )
    """,
    """
    CREATE TABLE account_deletions (
        sequence bigint PRIMARY KEY,
        user_id uuid NOT NULL,
        at timestamptz NOT NULL,
        origins_erased boolean NOT NULL DEFAULT false,
        CONSTRAINT account_deletions_user_key UNIQUE (user_id)
    )
    """,
    (
        "CREATE INDEX account_deletions_to_erase ON account_deletions (sequence)"
        " WHERE NOT origins_erased"
    ),
    (
        "INSERT INTO account_deletions (sequence, user_id, at) SELECT"
        " row_number() OVER (ORDER BY deleted_at, id), id, deleted_at FROM users"
        " WHERE deleted_at IS NOT NULL"
    ),
    "INSERT INTO deletion_head (sequence) SELECT count(*) FROM account_deletions",
    (
        "UPDATE sessions SET device = '', address = ''"
        " WHERE user_id IN (SELECT user_id FROM account_deletions)"
    ),
)


def upgrade() -> None:
    for statement in _TABLES:
        op.execute(statement)
