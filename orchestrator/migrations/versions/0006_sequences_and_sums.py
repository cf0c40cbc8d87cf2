"""Orders by sequence, sources once, sums of use"""

import hashlib
import json
from collections import defaultdict

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

DAY = 86400
KEPT = ("SUCCEEDED", "STOPPED", "CANCELLED")
COLUMNS = ("gpu_seconds_useful", "gpu_seconds_wasted", "cpu_seconds_useful", "cpu_seconds_wasted")


def upgrade() -> None:
    _make_tables()
    op.add_column("jobs", sa.Column("seq", sa.Integer, nullable=False, server_default="0"))
    op.add_column("jobs", sa.Column("ended_seq", sa.Integer, nullable=True))
    labels = sa.Column("labels", sa.JSON(none_as_null=True), nullable=False, server_default="{}")
    op.add_column("jobs", labels)
    op.add_column("jobs", sa.Column("source_digest", sa.String(64), nullable=True))
    _fill_jobs(op.get_bind())
    _fill_usage(op.get_bind())
    op.drop_column("jobs", "source")
    op.drop_index("jobs_by_name", "jobs")
    for name, columns in INDEXES.items():
        op.create_index(name, name.partition("_")[0], columns, unique=name == "jobs_by_seq")


INDEXES = {
    "jobs_by_seq": ["seq"],
    "jobs_by_project": ["project", "seq"],
    "jobs_by_name": ["project", "name", "seq"],
    "jobs_by_success": ["schedule", "name", "status", "project", "ended"],
    "jobs_by_end": ["ended"],
    "jobs_by_archival": ["archived", "status"],
    "jobs_by_tally": ["project", "queue", "kind", "status"],
    "jobs_by_source": ["source_digest"],
    "attempts_by_end": ["ended"],
    "attempts_by_archival": ["archived", "released"],
}


def _make_tables() -> None:
    op.create_table(
        "sources", sa.Column("digest", sa.String(64), primary_key=True), sa.Column("text", sa.Text, nullable=False)
    )
    op.create_table(
        "marks", sa.Column("name", sa.String(20), primary_key=True), sa.Column("value", sa.Float, nullable=False)
    )
    op.create_table(
        "usage",
        sa.Column("project", sa.String(50), primary_key=True),
        sa.Column("by", sa.String(10), primary_key=True),
        sa.Column("name", sa.String(100), primary_key=True),
        sa.Column("day", sa.Integer, primary_key=True, autoincrement=False),
        *(sa.Column(column, sa.Float, nullable=False) for column in COLUMNS),
    )
    op.create_index("usage_by_day", "usage", ["project", "by", "day"])


def _fill_jobs(bind: sa.Connection) -> None:
    rows = bind.execute(sa.text("SELECT id, spec, source FROM jobs ORDER BY submitted, id")).all()
    known = set()
    for seq, row in enumerate(rows, 1):
        spec = json.loads(row.spec) if isinstance(row.spec, str) else row.spec
        digest = hashlib.sha256(json.dumps(row.source).encode()).hexdigest() if row.source is not None else None
        if digest and digest not in known:
            known.add(digest)
            bind.execute(sa.text("INSERT INTO sources VALUES (:d, :t)"), {"d": digest, "t": row.source})
        bind.execute(
            sa.text(
                "UPDATE jobs SET seq = :seq, labels = :labels, source_digest = :digest, ended_seq = "
                "CASE WHEN ended IS NULL THEN NULL ELSE (SELECT max(seq) FROM events WHERE job_id = jobs.id) END "
                "WHERE id = :id"
            ),
            {"seq": seq, "labels": json.dumps(spec.get("labels", {})), "digest": digest, "id": row.id},
        )


def _fill_usage(bind: sa.Connection) -> None:
    """Do as `orchestrator.policies.usage` does for each attempt that ends."""
    rows = bind.execute(
        sa.text(
            'SELECT j.project, j.name, j.queue, j.owner, a.status, a.started, a.ended, a.workers, a.gpus_per_worker AS "gpu", '
            'a.cpus_per_worker AS "cpu" FROM attempts a JOIN jobs j ON j.id = a.job_id '
            "WHERE a.started IS NOT NULL AND a.ended IS NOT NULL"
        )
    )
    sums: dict[tuple[str, str, str, int], dict[str, float]] = defaultdict(lambda: dict.fromkeys(COLUMNS, 0.0))
    for row in rows:
        use = "useful" if row.status in KEPT else "wasted"
        for day in range(int(row.started // DAY), int(row.ended // DAY) + 1):
            seconds = max(min(row.ended, (day + 1) * DAY) - max(row.started, day * DAY), 0.0) * row.workers
            for by, name in (("job", row.name), ("queue", row.queue), ("user", row.owner)):
                sums[row.project, by, name, day][f"gpu_seconds_{use}"] += seconds * row.gpu
                sums[row.project, by, name, day][f"cpu_seconds_{use}"] += seconds * row.cpu
    table = sa.table("usage", *(sa.column(name) for name in ("project", "by", "name", "day", *COLUMNS)))
    for (project, by, name, day), amounts in sums.items():
        bind.execute(sa.insert(table).values(project=project, by=by, name=name, day=day, **amounts))


def downgrade() -> None:
    for name in INDEXES:
        op.drop_index(name, name.partition("_")[0])
    op.create_index("jobs_by_name", "jobs", ["project", "name", "submitted"])
    op.add_column("jobs", sa.Column("source", sa.Text, nullable=True))
    op.get_bind().execute(
        sa.text("UPDATE jobs SET source = (SELECT text FROM sources WHERE digest = jobs.source_digest)")
    )
    for column in ("seq", "ended_seq", "labels", "source_digest"):
        op.drop_column("jobs", column)
    for table in ("usage", "marks", "sources"):
        op.drop_table(table)
