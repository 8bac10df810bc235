"""Answers that are given again to a request that is sent again."""

from alembic import op

revision = "0004"
down_revision = "0003"

_ANSWERS = """
    CREATE TABLE idempotent_answers (
        caller_id uuid NOT NULL,
        route text NOT NULL,
        key text NOT NULL,
        fingerprint bytea NOT NULL,
        status smallint NOT NULL,
        headers json NOT NULL,
        body bytea NOT NULL,
        at timestamptz NOT NULL,
        PRIMARY KEY (caller_id, route, key)
    )
"""
_BY_AGE = "CREATE INDEX idempotent_answers_by_age ON idempotent_answers (at)"


def upgrade() -> None:
    op.execute(_ANSWERS)
    op.execute(_BY_AGE)
