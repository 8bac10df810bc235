"""The feed of revocations, which gateways follow to refuse tokens before they expire."""

from alembic import op

revision = "0002"
down_revision = "0001"

_TABLES = (
    # One row. Whoever publishes holds it until his transaction ends, so numbers are given in the
    # order of the commits: who has seen number 7 has seen all that ever come before it.
    """
    CREATE TABLE revocation_head (
        only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
        sequence bigint NOT NULL
    )
    """,
    "INSERT INTO revocation_head (sequence) VALUES (0)",
    """
    CREATE TABLE revocations (
        sequence bigint PRIMARY KEY,
        kind text NOT NULL CHECK (kind IN ('session', 'user')),
        subject uuid NOT NULL,
        epoch integer,
        at timestamptz NOT NULL,
        CHECK ((kind = 'user') = (epoch IS NOT NULL))
    )
    """,
    "CREATE INDEX revocations_to_purge ON revocations (at)",
)


def upgrade() -> None:
    for statement in _TABLES:
        op.execute(statement)
