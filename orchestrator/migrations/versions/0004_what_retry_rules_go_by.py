"""What retry rules go by"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("attempts", sa.Column("exit_code", sa.Integer, nullable=True))
    op.add_column("attempts", sa.Column("excused", sa.Boolean, nullable=True))


def downgrade() -> None:
    op.drop_column("attempts", "excused")
    op.drop_column("attempts", "exit_code")
