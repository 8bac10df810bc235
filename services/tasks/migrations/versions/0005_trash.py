"""An index for the list of what an owner has in the trash."""

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.execute(
        "CREATE INDEX tasks_trash_of_owner ON tasks (owner_id, deleted_at, id) "
        "WHERE deleted_at IS NOT NULL"
    )
