"""Where a session was opened, and accounts that are gone but for their id."""

from alembic import op

revision = "0004"
down_revision = "0003"

_CHANGES = (
    "ALTER TABLE sessions ADD COLUMN device text NOT NULL DEFAULT ''",
    "ALTER TABLE sessions ADD COLUMN address text NOT NULL DEFAULT ''",
    "ALTER TABLE users ADD COLUMN deleted_at timestamptz",
    "CREATE INDEX users_admins ON users (id) WHERE role = 'admin' AND is_active",
)


def upgrade() -> None:
    for statement in _CHANGES:
        op.execute(statement)
