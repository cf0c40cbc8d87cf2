"""The history checker: reads what a server has noted and what is in its bucket, and says what must not be.

Every finding is a sentence; an empty list is the verdict "sound". `counts` says how much there was to be wrong.
"""

import hashlib
import json
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from jobs.storage.layout import Layout
from jobs.store import NotFound, Store

Row = dict[str, Any]
ENDED = ("SUCCEEDED", "FAILED", "CANCELLED")
TABLES = ("jobs", "attempts", "events", "ticks", "schedules", "schedule_ticks")
MINUTE = 60.0


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What was done, and which attempts it may have cost, by id; `failures`: as what. None: any."""

    name: str
    attempts: frozenset[str] = frozenset()
    failures: frozenset[str] | None = None


@dataclass(kw_only=True)
class History:
    jobs: list[Row]
    attempts: list[Row]
    events: list[Row]
    ticks: list[Row] = field(default_factory=list)
    schedules: list[Row] = field(default_factory=list)
    firings: list[Row] = field(default_factory=list)
    faults: Sequence[Fault] = ()
    store: Store
    twins: Mapping[str, str] = field(default_factory=dict)  # job -> the undisturbed one whose bytes it must have
    log: str = ""  # the server's

    def of(self, job: Row) -> list[Row]:
        return sorted((each for each in self.attempts if each["job_id"] == job["id"]), key=lambda each: each["number"])

    @property
    def by_id(self) -> dict[str, Row]:
        return {job["id"]: job for job in self.jobs}


def read(database: Path, store: Store, **more: Any) -> History:
    """Read a server's whole database, which nobody needs to serve any more."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        connection.row_factory = sqlite3.Row
        rows = {table: [dict(row) for row in connection.execute(f"SELECT * FROM {table}")] for table in TABLES}
    rows["firings"] = rows.pop("schedule_ticks")
    return History(**rows, store=store, **more)


def findings(history: History) -> list[str]:
    """Return everything that is wrong with it."""
    checks = (every_job_ended, attempts_follow_each_other, one_accepted_end, one_manifest, bytes_are_the_twins,
              nothing_stopped_for_nothing, progress_goes_forward, firings_make_one_job_each, firings_leave_no_gap,
              nobody_overlaps, no_mistake_of_the_server)  # fmt: skip
    return [f"{check.__name__}: {said}" for check in checks for said in check(history)]


def counts(history: History) -> dict[str, Any]:
    kinds = Counter(f"{job['kind']} {job['status'].lower()}" for job in history.jobs)
    return {
        "jobs": dict(sorted(kinds.items())),
        "of them made by schedules": sum(bool(job["schedule"]) for job in history.jobs),
        "attempts": dict(Counter(each["status"].lower() for each in history.attempts)),
        "failures": dict(Counter(each["failure"] for each in history.attempts if each["failure"])),
        "events": len(history.events),
        "ticks": len(history.ticks),
        "firings": dict(Counter(each["outcome"] for each in history.firings)),
        "faults": dict(sorted(Counter(fault.name for fault in history.faults).items())),
    }


# --- jobs and attempts


def every_job_ended(history: History) -> Iterator[str]:
    cancelled = {each["job_id"] for each in history.events if each["type"] == "cancelled"}
    for job in history.jobs:
        if job["status"] not in ENDED:
            yield f"{job['name']} {job['id']} is {job['status']}: {job['reason']}"
        elif job["status"] == "FAILED":
            yield f"{job['name']} {job['id']} failed: {job['failure']}: {job['reason']}"
        elif job["status"] == "CANCELLED" and job["id"] not in cancelled:
            yield f"{job['name']} {job['id']} is cancelled, and nothing says by whom"


def attempts_follow_each_other(history: History) -> Iterator[str]:
    """Numbers rise one by one; nothing of an attempt is noted before the end of the one before it."""
    spans: dict[tuple[str, int], list[int]] = defaultdict(list)
    ends: dict[tuple[str, int], list[int]] = defaultdict(list)
    for event in history.events:
        if event["attempt"]:
            spans[event["job_id"], event["attempt"]].append(event["seq"])
            if event["type"] == "attempt_ended":
                ends[event["job_id"], event["attempt"]].append(event["seq"])
    for job in history.jobs:
        numbers = [attempt["number"] for attempt in history.of(job)]
        if numbers != list(range(1, job["attempt"] + 1)):
            yield f"{job['name']} has had {job['attempt']} attempts, and their numbers are {numbers}"
        for number in numbers:
            if len(ends[job["id"], number]) != 1:
                yield f"attempt {number} of {job['name']} has {len(ends[job['id'], number])} ends"
        for before, after in pairwise(numbers):
            end, begin = ends[job["id"], before], spans[job["id"], after]
            if end and begin and min(begin) < max(end):
                yield f"attempt {after} of {job['name']} began before attempt {before} had ended"


def one_accepted_end(history: History) -> Iterator[str]:
    for job in history.jobs:
        succeeded = [each["number"] for each in history.of(job) if each["status"] == "SUCCEEDED"]
        expected = [job["attempt"]] if job["status"] == "SUCCEEDED" and job["attempt"] else []
        if succeeded != expected:
            yield f"{job['name']} is {job['status']}, and its attempts {succeeded} succeeded"


# --- what is published


def one_manifest(history: History) -> Iterator[str]:
    """The accepted digest is that of the manifest in the bucket, and each file is what the manifest says."""
    for job in history.jobs:
        if job["status"] != "SUCCEEDED" or not job["attempt"]:
            continue
        layout = _layout(job)
        try:
            manifest = history.store.get(layout.manifest)
        except NotFound:
            yield f"{job['name']} {job['id']} succeeded without a manifest"
            continue
        if hashlib.sha256(manifest).hexdigest() != job["commit_sha256"]:
            yield f"the manifest of {job['name']} {job['id']} is not the one that was accepted"
        for file in json.loads(manifest)["files"]:
            yield from _as_named(history.store, layout.prefix + file["key"], file)


def _as_named(store: Store, key: str, file: Row) -> Iterator[str]:
    try:
        content = store.get(key)
    except NotFound:
        yield f"{key} is in the manifest and not in the bucket"
        return
    if (len(content), hashlib.sha256(content).hexdigest()) != (file["size"], file["sha256"]):
        yield f"{key} is not what the manifest says"


def bytes_are_the_twins(history: History) -> Iterator[str]:
    """Whatever was done to a job: what it made is, byte by byte, what its undisturbed twin made."""
    for job_id, twin_id in history.twins.items():
        made, expected = (_made(history, history.by_id[each]) for each in (job_id, twin_id))
        name = history.by_id[job_id]["name"]
        if not expected:
            yield f"the twin of {name} has made nothing"
        for key in sorted(made.keys() | expected.keys()):
            if made.get(key) != expected.get(key):
                yield f"{key} of {name} {job_id} is not what the undisturbed twin made"


def _made(history: History, job: Row) -> dict[str, str]:
    """The weights of a training, the shards of a generation: digests by key."""
    if job["status"] != "SUCCEEDED":
        return {}
    wanted = ("data/",) if job["kind"] == "generate" else ("model/generator",)
    if not history.store.head(_layout(job).manifest):
        return {}
    files = json.loads(history.store.get(_layout(job).manifest))["files"]
    return {file["key"]: file["sha256"] for file in files if file["key"].startswith(wanted)}


def _layout(job: Row) -> Layout:
    return Layout(project=job["project"], job_name=job["name"], job_id=job["id"])


# --- judgements


def nothing_stopped_for_nothing(history: History) -> Iterator[str]:
    """Every attempt that failed or was lost had something done to it that costs an attempt, and that as which it failed.

    Those of cancelled jobs were asked to stop.
    """
    cancelled = {job["id"] for job in history.jobs if job["status"] == "CANCELLED"}
    for attempt in history.attempts:
        if attempt["status"] not in ("FAILED", "LOST") or attempt["job_id"] in cancelled:
            continue
        blamed = [fault for fault in history.faults if attempt["id"] in fault.attempts]
        if not any(fault.failures is None or attempt["failure"] in fault.failures for fault in blamed):
            done = ", ".join(fault.name for fault in blamed) or "nothing"
            yield f"{attempt['id']} is {attempt['status']} ({attempt['failure']}: {attempt['message']}); to it was done: {done}"


def progress_goes_forward(history: History) -> Iterator[str]:
    """Within an attempt, ticks come in the order of the work, none twice."""
    seen: dict[tuple[str, int], float] = {}
    for tick in sorted(history.ticks, key=lambda tick: tick["seq"]):
        data = tick["data"] if isinstance(tick["data"], dict) else json.loads(tick["data"])
        done = data.get("examples", data.get("samples"))
        if data.get("phase") not in ("training", "generating") or done is None:
            continue
        before = seen.get((tick["job_id"], tick["attempt"]))
        if before is not None and done < before:
            yield f"attempt {tick['attempt']} of {tick['job_id']} went back from {before} to {done}"
        seen[tick["job_id"], tick["attempt"]] = done


# --- schedules


def firings_make_one_job_each(history: History) -> Iterator[str]:
    jobs = {job["id"]: job for job in history.jobs if job["schedule"]}
    made = Counter(firing["job_id"] for firing in history.firings if firing["job_id"])
    for job_id, times in made.items():
        if times != 1:
            yield f"job {job_id} is that of {times} firings"
        if job_id not in jobs:
            yield f"the firing's job {job_id} is not there"
    for job_id in jobs.keys() - made.keys():
        yield f"job {job_id} of {jobs[job_id]['schedule']} has no firing"
    for job_id, count in Counter((job["schedule"], job["scheduled_time"]) for job in jobs.values()).items():
        if count != 1:
            yield f"{count} jobs of the firing {job_id}"
    for firing in history.firings:
        if (firing["outcome"] in ("started", "replaced")) != bool(firing["job_id"]):
            yield f"a firing of {firing['schedule']} was {firing['outcome']}, and its job is {firing['job_id']}"


def firings_leave_no_gap(history: History) -> Iterator[str]:
    """Of a schedule of every minute, each minute from its first firing to its last was decided."""
    for schedule in history.schedules:
        if _timing(schedule)["cron"] != "* * * * *":
            continue
        times = sorted(firing["scheduled_time"] for firing in history.firings if firing["schedule"] == schedule["name"])
        for before, after in pairwise(times):
            if after - before != MINUTE:
                yield f"{schedule['name']}: between {before:.0f} and {after:.0f} nothing was decided"


def nobody_overlaps(history: History) -> Iterator[str]:
    """Under `forbid` and `replace` no two jobs of a schedule have attempts at once."""
    for schedule in history.schedules:
        if _timing(schedule).get("concurrency", "allow") == "allow":
            continue
        spans = []
        for job in history.jobs:
            if job["schedule"] == schedule["name"] and job["name"] == schedule["name"]:
                own = [
                    event["seq"] for event in history.events if event["job_id"] == job["id"] and _is_of_its_life(event)
                ]
                if own:
                    spans.append((min(own), max(own), job["id"]))
        for before, after in pairwise(sorted(spans)):
            if after[0] < before[1]:
                yield f"{schedule['name']}: {after[2]} ran before {before[2]} had ended"


def _is_of_its_life(event: Row) -> bool:
    """Whether an attempt lives while this is noted: it may be stopped through Ray once more after its end."""
    return bool(event["attempt"]) and event["type"] != "killed"


def _timing(schedule: Row) -> Row:
    documents = schedule["documents"]
    return (documents if isinstance(documents, list) else json.loads(documents))[0]["schedule"]


# --- the server itself


def no_mistake_of_the_server(history: History) -> Iterator[str]:
    """Faults from outside are warnings; an error in its log is a mistake of its own."""
    for line in history.log.splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if entry.get("level") in ("error", "critical"):
            said = str(entry.get("exception", "")).strip().splitlines()[-1:]
            yield f"{entry.get('event')} {entry.get('path', entry.get('about', entry.get('record', '')))} {' '.join(said)}"
