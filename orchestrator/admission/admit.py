"""Is what was submitted runnable at all? Every error at once; nothing is written here."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Connection

from jobs import kinds
from jobs.digest import of_json
from jobs.specs import check, load
from jobs.specs import spec as job_spec
from jobs.specs.errors import Problem, SpecError, did_you_mean
from jobs.specs.spec import Job as Spec
from jobs.specs.spec import Need, Plain
from jobs.storage.layout import is_like_an_id, new_job_id
from orchestrator import db, scheduler
from orchestrator.policies import cron, dependencies, requests, schedule_documents, sweeps
from orchestrator.policies.retry import ACTIONS
from orchestrator.records import Job, Schedule
from orchestrator.scheduler import Node
from orchestrator.settings import Settings
from orchestrator.states import ENDED, Desired, Status

MOST_JOBS = 2000  # of one submission: they are entered in one transaction
MOST_BYTES = 16 << 20  # of all combinations of its matrices, as JSON


class Conflict(ValueError):
    """An unfinished job of that name has another spec."""


@dataclass(frozen=True, kw_only=True)
class Admitted:
    job: Job
    needs: tuple[tuple[str, str], ...]  # (id of the job needed, how it must have ended)
    is_new: bool  # False: the unfinished job that has this name and this spec


@dataclass(frozen=True, kw_only=True)
class Admission:
    jobs: list[Admitted]
    schedules: list[Schedule]  # as they shall be: new, changed, or as they are


@dataclass(frozen=True, kw_only=True)
class Asker:
    project: str
    owner: str


@dataclass(frozen=True, kw_only=True)
class Understood:
    """What a submission says, by itself: every spec in it, and each combination of a matrix."""

    specs: dict[int, Spec]  # by number; after a sweep's those of its combinations
    origins: dict[int, int]  # number -> document that it comes from

    def without(self, numbers: set[int]) -> "Understood":
        return Understood(specs={n: spec for n, spec in self.specs.items() if n not in numbers}, origins=self.origins)


def understand(documents: Sequence[Plain], settings: Settings, nodes: Sequence[Node] | None) -> Understood:
    """Read and check all that can be told without the database, so that no transaction waits for it.

    Raises SpecError with every problem.
    """
    expanded, origins = _expanded(documents)
    specs, problems = _parse(expanded)
    problems += _doubled(specs)
    for number, spec in specs.items():
        found = (
            check.problems(spec)
            + _local_paths(spec, settings)
            + _capacity(spec, nodes, settings)
            + _timing(spec)
            + _rules(spec)
            + _name(spec)
        )
        problems += [replace(problem, document=number) for problem in found]
    circle = dependencies.cycle({spec.name: [need.name for need in job_spec.upstream(spec)] for spec in specs.values()})
    if circle:
        problems.append(Problem(path="needs", message=f"jobs need each other in a circle: {' -> '.join(circle)}"))
    if problems:
        raise SpecError([replace(problem, document=origins.get(problem.document, 0)) for problem in problems])
    return Understood(specs=specs, origins=origins)


def admit(
    connection: Connection,
    understood: Understood,
    asker: Asker,
    now: float,
    wall: float,
    source: str | None = None,
    once: bool = False,
) -> Admission:
    """Return a job for each document, in their order, or a schedule. Raises SpecError with every problem, or Conflict.

    `source`: the digest of the submitted text. `once`: what is scheduled runs one time, now.
    `wall`: what calendars say.
    """
    understood = understood.without(_of_known_sweeps(connection, understood, asker.project))
    specs, origins = understood.specs, understood.origins
    known = {} if once else {each.name: each for each in db.schedules.of_project(connection, asker.project)}
    owners = {} if once else schedule_documents.owners(specs.values(), known)
    plain = {number: spec for number, spec in specs.items() if spec.name not in owners}
    scheduled = {number: spec for number, spec in specs.items() if spec.name in owners}
    problems = [] if once else _untimely(plain)
    jobs = _jobs(connection, plain, asker, now, wall, source)
    needs, unmet = _needs(connection, plain, jobs, asker.project)
    others = {spec.name for spec in specs.values()} | set(known)
    problems += unmet + _unmet(connection, scheduled, others, asker.project)
    problems += [
        Problem(path="matrix", message="not supported yet in what runs for each firing of a schedule", document=number)
        for number, spec in scheduled.items()
        if spec.matrix
    ]
    if problems:
        raise SpecError([replace(problem, document=origins.get(problem.document, 0)) for problem in problems])
    _gather(needs, jobs, plain, origins)
    return Admission(
        jobs=[Admitted(job=job, needs=tuple(needs[name]), is_new=is_new) for name, (job, is_new) in jobs.items()],
        schedules=schedule_documents.schedules(
            list(scheduled.values()), owners, known, asker.project, asker.owner, wall
        ),
    )


def needed_now(connection: Connection, job: Job) -> list[tuple[str, str]]:
    """Return what a job that is tried again needs: names mean other jobs by now. Raises Conflict when there is none."""
    found: list[tuple[str, str]] = []
    for need in job_spec.upstream(job.parsed):
        upstream = _upstream(connection, need, {}, job.project)
        if isinstance(upstream, str):
            raise Conflict(f"job {job.name} needs {need.name}: {upstream}")
        found.append((upstream.id, need.when))
    return found


def firing_jobs(connection: Connection, schedule: Schedule, scheduled: float, now: float) -> list[Admitted]:
    """Return the jobs of one firing, each new. Raises SpecError when something that they need is not there any more."""
    asker = Asker(project=schedule.project, owner=schedule.owner)
    jobs, specs = {}, {}
    for n, document in enumerate(schedule.documents):
        spec = load.parse(schedule_documents.at(document, schedule.timing, scheduled))
        template = digest(job_spec.parse(schedule_documents.without_schedule(document)))
        job = _new(spec, asker, now + n * 1e-6, None, template, scheduled)
        specs[n], jobs[spec.name] = spec, (replace(job, schedule=schedule.name), True)
    needs, problems = _needs(connection, specs, jobs, schedule.project)
    if problems:
        raise SpecError(problems)
    return [Admitted(job=job, needs=tuple(needs[name]), is_new=True) for name, (job, _) in jobs.items()]


def _expanded(documents: Sequence[Plain]) -> tuple[list[Plain], dict[int, int]]:
    """Return each document, after a sweep's the jobs of its combinations; and the document that each comes from."""
    found: list[tuple[int, Plain]] = []
    room = MOST_BYTES
    for number, document in enumerate(documents):
        found.append((number, document))
        wrong = sweeps.problem(document) or _too_much(document, len(found), room)
        if wrong:
            raise SpecError([replace(wrong, document=number)])
        if document.get("matrix") and isinstance(document.get("name"), str):
            room -= _size(document) * sweeps.count(document)
            found += [(number, child) for child in sweeps.children(document)]
    return [document for _, document in found], {n: number for n, (number, _) in enumerate(found)}


def _too_much(document: Plain, before: int, room: int) -> Problem | None:
    """What a matrix becomes is paid in rows of the database: bounded before it is made."""
    if not document.get("matrix"):
        return None
    if before + sweeps.count(document) > MOST_JOBS:
        return Problem(path="matrix", message=f"{MOST_JOBS} jobs are the most of one submission; submit in parts")
    if _size(document) * sweeps.count(document) > room:
        message = f"all combinations together are more than {MOST_BYTES >> 20} MiB; make the document smaller"
        return Problem(path="matrix", message=message)
    return None


def _size(document: Plain) -> int:
    return len(json.dumps(document))


def _of_known_sweeps(connection: Connection, understood: Understood, project: str) -> set[int]:
    """Return the combinations of sweeps that have not ended: expanded anew, those that have ended would run again."""
    known = {
        understood.origins[n]
        for n, spec in understood.specs.items()
        if spec.matrix and db.jobs.unfinished_of_name(connection, project, spec.name) is not None
    }
    return {n for n, spec in understood.specs.items() if understood.origins[n] in known and not spec.matrix}


def _gather(
    needs: dict[str, list[tuple[str, str]]],
    jobs: dict[str, tuple[Job, bool]],
    specs: dict[int, Spec],
    origins: dict[int, int],
) -> None:
    """A sweep needs each of its jobs, however it ends, and nothing else: what it names, its jobs need."""
    for number, spec in specs.items():
        if spec.matrix:
            mine = [
                specs[n].name
                for n, origin in origins.items()
                if origin == origins[number] and n != number and n in specs
            ]
            needs[spec.name] = [(jobs[name][0].id, "finished") for name in mine]


def _parse(documents: Sequence[Plain]) -> tuple[dict[int, Spec], list[Problem]]:
    specs: dict[int, Spec] = {}
    problems: list[Problem] = []
    if not documents:
        problems.append(Problem(path="", message="no document was submitted"))
    for number, document in enumerate(documents):
        try:
            specs[number] = load.parse(document)
        except SpecError as error:
            problems += [replace(problem, document=number) for problem in error.problems]
    return specs, problems


def _doubled(specs: dict[int, Spec]) -> list[Problem]:
    first: dict[str, int] = {}
    problems = []
    for number, spec in specs.items():
        if first.setdefault(spec.name, number) != number:
            message = f"{spec.name!r} is the name of document {first[spec.name] + 1} too"
            problems.append(Problem(path="name", message=message, document=number))
    return problems


def _local_paths(spec: Spec, settings: Settings) -> list[Problem]:
    """A server reads local files only below GANWORKS_DATA_ROOTS, where that is set."""
    roots = [Path(root).resolve() for root in settings.data_roots]
    if not roots:
        return []
    outside = [
        entry["source"]
        for entry in load.local_data(job_spec.dump(spec)).values()
        if not any(Path(entry["source"]).resolve().is_relative_to(root) for root in roots)
    ]
    allowed = ", ".join(settings.data_roots)
    return [
        Problem(path="data.source", message=f"{source!r} is not below what this server may read: {allowed}")
        for source in outside
    ]


def _capacity(spec: Spec, nodes: Sequence[Node] | None, settings: Settings) -> list[Problem]:
    """A gang that its queue, or this cluster even when empty, could not hold would wait for ever."""
    if spec.queue not in settings.policy.queues:
        hint = did_you_mean(spec.queue, settings.policy.queues)
        return [Problem(path="queue", message=f"there is no queue {spec.queue!r} on this server{hint}")]
    if nodes is None or not requests.sizes(spec):
        return []
    job = requests.queued(_new(spec, Asker(project="", owner="you"), 0.0, None, ""), (), 0.0, 0.0)
    missing = scheduler.shortage(job, nodes)
    if missing:
        return [Problem(path="resources", message=missing)]
    workers = job.sizes[-1]
    least = scheduler.each_of(job, workers, scheduler.whole_gpus(nodes)).times(workers)
    never = scheduler.Ledger(settings.policy, (), {}, scheduler.total(nodes)).never(job, least)
    return [Problem(path="resources", message=never)] if never else []


def digest(spec: Spec) -> str:
    return of_json(job_spec.dump(spec))


def _timing(spec: Spec) -> list[Problem]:
    wrong = cron.problem(spec.schedule) if spec.schedule else None
    return [Problem(path=f"schedule.{wrong.partition(':')[0]}", message=wrong.partition(": ")[2])] if wrong else []


def _name(spec: Spec) -> list[Problem]:
    """Jobs are found by id or by name: none may bear another's id."""
    if not is_like_an_id(spec.name):
        return []
    return [Problem(path="name", message=f"{spec.name!r} looks like the id of a job; choose another name")]


def _rules(spec: Spec) -> list[Problem]:
    """A rule for a failure that never comes would be silently useless."""
    return [
        Problem(
            path=f"retry.rules.{n}.failure", message=f"unknown {rule.failure!r}{did_you_mean(rule.failure, ACTIONS)}"
        )
        for n, rule in enumerate(spec.retry.rules)
        if rule.failure is not None and rule.failure not in ACTIONS
    ]


def _untimely(specs: dict[int, Spec]) -> list[Problem]:
    """A job that no schedule makes has no scheduled time."""
    message = "${scheduled_time} is known in a schedule, and in what runs once for each of its firings"
    return [
        Problem(path=path, message=message, document=number)
        for number, spec in specs.items()
        for path in schedule_documents.timed_fields(job_spec.dump(spec))
    ]


def _jobs(
    connection: Connection, specs: dict[int, Spec], asker: Asker, now: float, wall: float, source: str | None
) -> dict[str, tuple[Job, bool]]:
    """By name. A microsecond apart, so that the queue keeps the order of the file."""
    return {spec.name: _job(connection, spec, asker, now + n * 1e-6, wall, source) for n, spec in specs.items()}


def _job(
    connection: Connection, spec: Spec, asker: Asker, now: float, wall: float, source: str | None
) -> tuple[Job, bool]:
    """Return the unfinished job of this name if it has this spec, or a new one. What has a schedule runs once, now."""
    document = job_spec.dump(spec)
    template = digest(job_spec.parse(schedule_documents.without_schedule(document)))
    unfinished = db.jobs.unfinished_of_name(connection, asker.project, spec.name)
    if unfinished is None:
        is_timed = spec.schedule is not None or bool(schedule_documents.timed_fields(document))
        spec = load.parse(schedule_documents.at(document, spec.schedule, wall)) if is_timed else spec
        return _new(spec, asker, now, source, template, wall if is_timed else None), True
    if unfinished.spec_digest != template:
        raise Conflict(
            f"job {spec.name} ({unfinished.id}) is {unfinished.status} with another spec; "
            f"wait for its end, cancel it, or choose another name"
        )
    return unfinished, False


def _new(
    spec: Spec, asker: Asker, now: float, source: str | None, spec_digest: str, scheduled: float | None = None
) -> Job:
    waits = bool(
        job_spec.upstream(spec) or kinds.of(spec).references(spec) or spec.matrix
    )  # references are pinned first
    return Job(
        id=new_job_id(datetime.fromtimestamp(now, UTC)),
        project=asker.project,
        name=spec.name,
        kind=spec.kind,
        queue=spec.queue,
        priority=spec.priority,
        owner=asker.owner,
        spec=job_spec.dump(spec),
        spec_digest=spec_digest,
        labels=dict(spec.labels),
        source_digest=source,
        pinned=None if waits else {},
        status=Status.WAITING if waits else Status.QUEUED,
        desired=Desired.RUN,
        submitted=now,
        scheduled_time=scheduled,
        queued=None if waits else now,
    )


def _needs(
    connection: Connection, specs: dict[int, Spec], jobs: dict[str, tuple[Job, bool]], project: str
) -> tuple[dict[str, list[tuple[str, str]]], list[Problem]]:
    needs: dict[str, list[tuple[str, str]]] = {}
    problems = []
    for number, spec in specs.items():
        found = needs[spec.name] = []
        for need in job_spec.upstream(spec):
            upstream = _upstream(connection, need, jobs, project)
            if isinstance(upstream, Job):
                found.append((upstream.id, need.when))
            else:
                problems.append(Problem(path=_field(spec, need), message=upstream, document=number))
    return needs, problems


def _unmet(connection: Connection, specs: dict[int, Spec], others: set[str], project: str) -> list[Problem]:
    """What a scheduled job needs must exist already, in this submission or before: its firings find the newest."""
    return [
        Problem(path=_field(spec, need), message=upstream, document=number)
        for number, spec in specs.items()
        for need in job_spec.upstream(spec)
        if need.name not in others and isinstance(upstream := _upstream(connection, need, {}, project), str)
    ]


def _field(spec: Spec, need: Need) -> str:
    if need in spec.needs:
        return "needs"
    return kinds.of(spec).upstream


def _upstream(connection: Connection, need: Need, jobs: dict[str, tuple[Job, bool]], project: str) -> Job | str:
    """Return the job that a name means, or why there is none: of this submission, unfinished, or the newest as wanted."""
    if need.name in jobs:
        return jobs[need.name][0]
    unfinished = db.jobs.unfinished_of_name(connection, project, need.name)
    if unfinished:
        return unfinished
    ended = db.jobs.newest_ended(connection, project, need.name, dependencies.WANTED[need.when])
    if ended:
        return ended
    other = db.jobs.newest_ended(connection, project, need.name, ENDED)
    if other:
        return f"no job {need.name!r} has {need.when} in project {project}; the newest is {other.status}"
    return f"there is no job {need.name!r} in project {project}, nor in this submission"
