"""Schedules, their ticks and events"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None
JSON = sa.JSON(none_as_null=True)


def upgrade() -> None:
    op.add_column("jobs", sa.Column("schedule", sa.String(50), nullable=True))
    op.create_index("jobs_by_schedule", "jobs", ["project", "schedule"])
    _one_unfinished("ended IS NULL AND schedule IS NULL")
    op.create_table(
        "schedules",
        sa.Column("project", sa.String(50), primary_key=True),
        sa.Column("name", sa.String(50), primary_key=True),
        sa.Column("owner", sa.String(100), nullable=False),
        sa.Column("documents", JSON, nullable=False),
        sa.Column("attached", JSON, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("suspended", sa.Boolean, nullable=False),
        sa.Column("created", sa.Float, nullable=False),
        sa.Column("updated", sa.Float, nullable=False),
        sa.Column("considered", sa.Float, nullable=False),
        sa.Column("next_at", sa.Float),
        sa.Column("reason", sa.Text),
    )
    op.create_table(
        "schedule_ticks",
        sa.Column("project", sa.String(50), primary_key=True),
        sa.Column("schedule", sa.String(50), primary_key=True),
        sa.Column("scheduled_time", sa.Float, primary_key=True),
        sa.Column("decided", sa.Float, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("outcome", sa.String(20), nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("job_id", sa.String(40)),
    )
    op.create_table(
        "schedule_events",
        sa.Column("seq", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("project", sa.String(50), nullable=False),
        sa.Column("schedule", sa.String(50), nullable=False),
        sa.Column("time", sa.Float, nullable=False),
        sa.Column("type", sa.String(40), nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("data", JSON),
    )
    op.create_index("schedule_events_by_schedule", "schedule_events", ["project", "schedule", "seq"])


def downgrade() -> None:
    for table in ("schedule_events", "schedule_ticks", "schedules"):
        op.drop_table(table)
    _one_unfinished("ended IS NULL")
    op.drop_index("jobs_by_schedule", "jobs")
    op.drop_column("jobs", "schedule")


def _one_unfinished(where: str) -> None:
    op.drop_index("one_unfinished_job", "jobs")
    condition = sa.text(where)
    op.create_index(
        "one_unfinished_job",
        "jobs",
        ["project", "name"],
        unique=True,
        sqlite_where=condition,
        postgresql_where=condition,
    )
