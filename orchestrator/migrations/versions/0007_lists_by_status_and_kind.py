"""Lists by status and by kind have an index, and old answers can be found.

Revision ID: 0007
Revises: 0006
"""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

INDEXES = {
    "jobs_by_project_and_status": ("jobs", ["project", "status", "seq"]),
    "jobs_by_project_and_kind": ("jobs", ["project", "kind", "seq"]),
    "answers_by_time": ("answers", ["time"]),
}


def upgrade() -> None:
    for name, (table, columns) in INDEXES.items():
        op.create_index(name, table, columns)


def downgrade() -> None:
    for name, (table, _) in INDEXES.items():
        op.drop_index(name, table)
