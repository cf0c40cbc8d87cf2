"""Which jobs and schedules a submission makes of what the database knows. Every error at once; nothing is written here."""

from dataclasses import dataclass, replace

from sqlalchemy import Connection

from jobs import kinds
from jobs.specs import load
from jobs.specs import spec as job_spec
from jobs.specs.errors import Problem, SpecError
from jobs.specs.spec import Job as Spec
from jobs.specs.spec import Need
from orchestrator import db
from orchestrator.admission.new_job import Asker, digest, new_job
from orchestrator.admission.understand import Understood
from orchestrator.policies import dependencies, schedule_documents
from orchestrator.records import Job, Schedule
from orchestrator.states import ENDED


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
        job = new_job(spec, asker, now + n * 1e-6, None, template, scheduled)
        specs[n], jobs[spec.name] = spec, (replace(job, schedule=schedule.name), True)
    needs, problems = _needs(connection, specs, jobs, schedule.project)
    if problems:
        raise SpecError(problems)
    return [Admitted(job=job, needs=tuple(needs[name]), is_new=True) for name, (job, _) in jobs.items()]


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
    """Make a sweep need each of its jobs, however it ends, and nothing else: what it names, its jobs need."""
    for number, spec in specs.items():
        if spec.matrix:
            mine = [
                specs[n].name
                for n, origin in origins.items()
                if origin == origins[number] and n != number and n in specs
            ]
            needs[spec.name] = [(jobs[name][0].id, "finished") for name in mine]


def _untimely(specs: dict[int, Spec]) -> list[Problem]:
    """Refuse a scheduled time in a job that no schedule makes: it has none."""
    message = "${scheduled_time} is known in a schedule, and in what runs once for each of its firings"
    return [
        Problem(path=path, message=message, document=number)
        for number, spec in specs.items()
        for path in schedule_documents.timed_fields(job_spec.dump(spec))
    ]


def _jobs(
    connection: Connection, specs: dict[int, Spec], asker: Asker, now: float, wall: float, source: str | None
) -> dict[str, tuple[Job, bool]]:
    """Return the jobs by name, a microsecond apart, so that the queue keeps the order of the file."""
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
        return new_job(spec, asker, now, source, template, wall if is_timed else None), True
    if unfinished.spec_digest != template:
        raise Conflict(
            f"job {spec.name} ({unfinished.id}) is {unfinished.status} with another spec; "
            f"wait for its end, cancel it, or choose another name"
        )
    return unfinished, False


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
    """Demand that what a scheduled job needs exist already, here or from before: its firings find the newest."""
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
