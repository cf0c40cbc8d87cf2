"""One manifest a job, and the checkpoints to resume from"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("commit_sha256", sa.String(64), nullable=True))
    op.add_column("jobs", sa.Column("lineage", sa.JSON(none_as_null=True), nullable=True))
    # Of unfinished jobs the accepted manifest's bytes were not kept: nobody could finish them, so they stay open.
    op.execute(
        "UPDATE jobs SET commit_sha256 = (SELECT commit_sha256 FROM attempts WHERE attempts.job_id = jobs.id "
        "AND attempts.status = 'SUCCEEDED') WHERE status = 'SUCCEEDED'"
    )


def downgrade() -> None:
    op.drop_column("jobs", "lineage")
    op.drop_column("jobs", "commit_sha256")
