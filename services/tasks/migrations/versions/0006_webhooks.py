"""Webhooks and the queue of what they are told."""

from alembic import op

revision = "0006"
down_revision = "0005"

# RFC 9562 section 5.7: the time in milliseconds, then chance.
_NEW_ID = """
    CREATE FUNCTION new_id() RETURNS uuid LANGUAGE sql VOLATILE AS $$
        SELECT encode(set_bit(set_bit(overlay(
            uuid_send(gen_random_uuid())
            PLACING substring(int8send((extract(epoch FROM clock_timestamp()) * 1000)::bigint), 3)
            FROM 1 FOR 6
        ), 52, 1), 53, 1), 'hex')::uuid
    $$
"""
_WEBHOOKS = """
    CREATE TABLE webhooks (
        id uuid PRIMARY KEY,
        owner_id uuid NOT NULL,
        url text NOT NULL,
        events text[] NOT NULL,
        description text,
        enabled boolean NOT NULL,
        disabled_reason text,
        failing_since timestamptz,
        created_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL,
        secret bytea NOT NULL,
        previous_secret bytea,
        previous_secret_until timestamptz
    )
"""
# A delivery lives as long as the change that it tells of.
_DELIVERIES = """
    CREATE TABLE deliveries (
        id uuid PRIMARY KEY DEFAULT new_id(),
        webhook_id uuid NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
        owner_id uuid NOT NULL,
        sequence bigint,
        event_id uuid NOT NULL,
        type text NOT NULL,
        task_id uuid,
        state text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'delivered', 'dead')),
        attempts smallint NOT NULL DEFAULT 0,
        next_attempt_at timestamptz DEFAULT now(),
        last_attempt_at timestamptz,
        last_status smallint,
        last_error text,
        created_at timestamptz NOT NULL DEFAULT now(),
        FOREIGN KEY (owner_id, sequence) REFERENCES changes ON DELETE CASCADE
    )
"""
_INDEXES = (
    "CREATE INDEX webhooks_of_owner ON webhooks (owner_id, created_at)",
    """
    CREATE INDEX deliveries_due ON deliveries (webhook_id, next_attempt_at, sequence)
        WHERE state = 'pending'
    """,
    """
    CREATE INDEX deliveries_in_order ON deliveries (webhook_id, task_id, sequence)
        WHERE state = 'pending'
    """,
    "CREATE INDEX deliveries_of_webhook ON deliveries (webhook_id, created_at, id)",
    "CREATE INDEX deliveries_of_change ON deliveries (owner_id, sequence)",
    "CREATE INDEX deliveries_by_age ON deliveries (created_at)",
)


def upgrade() -> None:
    for statement in (_NEW_ID, _WEBHOOKS, _DELIVERIES, *_INDEXES):
        op.execute(statement)
