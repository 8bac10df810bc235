"""Since when a signing key is in its state, which the rotation goes by."""

from alembic import op

revision = "0007"
down_revision = "0006"

_CHANGES = (
    "ALTER TABLE signing_keys ADD COLUMN state_since timestamptz NOT NULL DEFAULT now()",
    "UPDATE signing_keys SET state_since = created_at WHERE state = 'active'",
    "CREATE UNIQUE INDEX signing_keys_one_next ON signing_keys (state) WHERE state = 'next'",
)


def upgrade() -> None:
    for statement in _CHANGES:
        op.execute(statement)
