"""The tables. Times are seconds since the epoch; JSON holds what is shown and never searched."""

from sqlalchemy import (
    JSON as AnyJSON,
)
from sqlalchemy import (
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData()
JSON = AnyJSON(none_as_null=True)

tokens = Table(
    "tokens",
    metadata,
    Column("hash", String(64), primary_key=True),
    Column("project", String(50), nullable=False),
    Column("owner", String(100), nullable=False),
    Column("role", String(20), nullable=False),  # user | scrape
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("seq", Integer, nullable=False),  # the order of admission, whatever clocks say
    Column("project", String(50), nullable=False),
    Column("name", String(50), nullable=False),
    Column("kind", String(20), nullable=False),
    Column("queue", String(50), nullable=False),
    Column("priority", Integer, nullable=False),
    Column("owner", String(100), nullable=False),
    Column("labels", JSON, nullable=False),  # of the spec, for lists, which do without it
    Column("spec", JSON, nullable=False),
    Column("spec_digest", String(64), nullable=False),
    Column("source_digest", String(64)),  # of the text that was submitted, if the client gave it
    Column("pinned", JSON),  # references as URI and sha256; null: not pinned yet
    Column("status", String(20), nullable=False),
    Column("desired", String(20), nullable=False),
    Column("reason", Text),  # why it waits, or how it ended
    Column("failure", String(40)),
    Column("attempt", Integer, nullable=False),  # number of the newest attempt; 0: none yet
    Column("submitted", Float, nullable=False),
    Column("schedule", String(50)),  # whose firing made it; null: submitted
    Column("scheduled_time", Float),
    Column("queued", Float),  # when it last entered the queue
    Column("not_before", Float),  # end of its back-off
    Column("started", Float),  # when its first driver claimed it
    Column("ended", Float),
    Column("ended_seq", Integer),  # of the event of its end: the order of ends, whatever clocks say
    Column("totals", JSON),  # sums over its ticks, see counter_sums.py
    Column("commit_sha256", String(64)),  # the one manifest that was ever accepted
    Column("lineage", JSON),  # checkpoints to resume from, newest first; null: from before they were recorded
    Column("described", Boolean, nullable=False),  # job.yaml is in the bucket
    Column("archived", Boolean, nullable=False),  # events.jsonl is in the bucket
    Index("jobs_by_status", "status"),
    Index("jobs_by_seq", "seq", unique=True),
    Index("jobs_by_project", "project", "seq"),
    Index("jobs_by_project_and_status", "project", "status", "seq"),
    Index("jobs_by_project_and_kind", "project", "kind", "seq"),
    Index("jobs_by_name", "project", "name", "seq"),
    Index("jobs_by_schedule", "project", "schedule"),
    Index("jobs_by_success", "schedule", "name", "status", "project", "ended"),
    Index("jobs_by_end", "ended"),  # those without one are what every step looks at
    Index("jobs_by_archival", "archived", "status"),
    Index("jobs_by_tally", "project", "queue", "kind", "status"),
    Index("jobs_by_source", "source_digest"),
)
# One unfinished job of a name: what makes two racing submits one job. Of a schedule's jobs, its policy says how many.
Index(
    "one_unfinished_job",
    jobs.c.project,
    jobs.c.name,
    unique=True,
    sqlite_where=jobs.c.ended.is_(None) & jobs.c.schedule.is_(None),
    postgresql_where=jobs.c.ended.is_(None) & jobs.c.schedule.is_(None),
)

sources = Table(  # submitted texts, each once
    "sources",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("text", Text, nullable=False),
)

usage = Table(  # what attempts that ended used: running sums, so that a reader adds up days and not attempts
    "usage",
    metadata,
    Column("project", String(50), primary_key=True),
    Column("by", String(10), primary_key=True),  # job | queue | user
    Column("name", String(100), primary_key=True),
    Column("day", Integer, primary_key=True, autoincrement=False),  # UTC days since the epoch
    Column("gpu_seconds_useful", Float, nullable=False),
    Column("gpu_seconds_wasted", Float, nullable=False),
    Column("cpu_seconds_useful", Float, nullable=False),
    Column("cpu_seconds_wasted", Float, nullable=False),
    Index("usage_by_day", "project", "by", "day"),
)

marks = Table(  # single moments that the server notes of itself
    "marks",
    metadata,
    Column("name", String(20), primary_key=True),
    Column("value", Float, nullable=False),
)

needs = Table(
    "needs",
    metadata,
    Column("job_id", ForeignKey("jobs.id"), primary_key=True),
    Column("upstream_id", ForeignKey("jobs.id"), primary_key=True),
    Column("when", String(20), nullable=False),  # succeeded | failed | finished
    Index("needs_by_upstream", "upstream_id"),
)

attempts = Table(
    "attempts",
    metadata,
    Column("id", String(60), primary_key=True),  # <job id>-<number>, and its submission id in Ray
    Column("job_id", ForeignKey("jobs.id"), nullable=False),
    Column("number", Integer, nullable=False),  # the fencing token
    Column("workers", Integer, nullable=False),
    Column("cpus_per_worker", Float, nullable=False),
    Column("gpus_per_worker", Float, nullable=False),
    Column("placement", JSON, nullable=False),  # node id -> workers, as planned
    Column("status", String(20), nullable=False),
    Column("failure", String(40)),
    Column("message", Text),
    Column("exit_code", Integer),  # of its driver, where Ray told it
    Column("excused", Boolean),  # its failure counts in no budget: by a rule, or since somebody retried the job
    Column("claim_hash", String(64), nullable=False),
    Column("nonce_hash", String(64)),
    Column("token_hash", String(64)),
    Column("host", String(200)),
    Column("pid", Integer),
    Column("created", Float, nullable=False),
    Column("submitted", Float),  # Ray has it
    Column("started", Float),  # its driver claimed it
    Column("heartbeat", Float),
    Column("progressed", Float),
    Column("position", Text),  # what progress was last seen; a change of it is progress
    Column("stop_asked", Float),  # the driver is told to stop
    Column("kill_asked", Float),  # Ray is told to stop it
    Column("driver_ended", Float),  # first seen that Ray calls its driver ended
    Column("ended", Float),
    Column("reserved_until", Float),  # holds its place until Ray confirms its end, or this moment
    Column("released", Float),
    Column("commit_sha256", String(64)),  # the job's, once this attempt has stood for it
    Column("result", JSON),
    Column("archived", Boolean, nullable=False),  # its log is in the bucket
    UniqueConstraint("job_id", "number"),
    Index("attempts_by_release", "released"),
    Index("attempts_by_end", "ended"),
    Index("attempts_by_archival", "archived", "released"),
)

events = Table(
    "events",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("job_id", ForeignKey("jobs.id"), nullable=False),
    Column("attempt", Integer),
    Column("time", Float, nullable=False),
    Column("type", String(40), nullable=False),
    Column("message", Text, nullable=False),
    Column("data", JSON),
    Index("events_by_job", "job_id", "seq"),
)

ticks = Table(
    "ticks",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("job_id", ForeignKey("jobs.id"), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("time", Float, nullable=False),
    Column("data", JSON, nullable=False),
    Index("ticks_by_job", "job_id", "seq"),
)

counters = Table(
    "counters",
    metadata,
    Column("name", String(100), primary_key=True),
    Column("labels", String(500), primary_key=True),  # JSON with sorted keys
    Column("value", Float, nullable=False),
)

answers = Table(  # what a keyed POST was answered, so that its repetition is answered alike
    "answers",
    metadata,
    Column("project", String(50), primary_key=True),
    Column("key", String(200), primary_key=True),
    Column("body_digest", String(64), nullable=False),
    Column("answer", JSON, nullable=False),
    Column("time", Float, nullable=False),
    Index("answers_by_time", "time"),
)

schedules = Table(
    "schedules",
    metadata,
    Column("project", String(50), primary_key=True),
    Column("name", String(50), primary_key=True),
    Column("owner", String(100), nullable=False),
    Column("documents", JSON, nullable=False),  # the scheduled job, then those that run once each time it fires
    Column("attached", JSON, nullable=False),  # names of those that came in another submission
    Column("digest", String(64), nullable=False),
    Column("version", Integer, nullable=False),
    Column("suspended", Boolean, nullable=False),
    Column("created", Float, nullable=False),
    Column("updated", Float, nullable=False),
    Column("considered", Float, nullable=False),  # every firing up to this scheduled time has been decided
    Column("next_at", Float),  # when it fires next, jitter included; null: never
    Column("reason", Text),  # why its due firing waits
)

schedule_ticks = Table(  # one firing makes one job, ever: the key says so. Rows outlive their schedule.
    "schedule_ticks",
    metadata,
    Column("project", String(50), primary_key=True),
    Column("schedule", String(50), primary_key=True),
    Column("scheduled_time", Float, primary_key=True),
    Column("decided", Float, nullable=False),
    Column("version", Integer, nullable=False),  # of the schedule
    Column("outcome", String(20), nullable=False),  # started | replaced | skipped | missed
    Column("reason", Text),
    Column("job_id", String(40)),  # the scheduled job itself
)

schedule_events = Table(
    "schedule_events",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("project", String(50), nullable=False),
    Column("schedule", String(50), nullable=False),
    Column("time", Float, nullable=False),
    Column("type", String(40), nullable=False),
    Column("message", Text, nullable=False),
    Column("data", JSON),
    Index("schedule_events_by_schedule", "project", "schedule", "seq"),
)
