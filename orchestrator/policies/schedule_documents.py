"""Documents that a schedule turns into jobs, firing by firing. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from jobs.digest import of_json
from jobs.specs import spec as job_spec
from jobs.specs.spec import Job, Plain
from jobs.specs.spec import Schedule as Timing
from orchestrator.policies import cron
from orchestrator.records import Schedule

SCHEDULED_TIME = "${scheduled_time}"


def without_schedule(document: Plain) -> Plain:
    return {name: value for name, value in document.items() if name != "schedule"}


def at(document: Plain, timing: Timing | None, scheduled: float) -> Plain:
    """Return the document of one firing's job."""
    filled = _filled(without_schedule(document), cron.text(timing or Timing(cron="* * * * *"), scheduled))
    assert isinstance(filled, dict)
    return filled


def _filled(value: Any, text: str) -> Any:
    if isinstance(value, dict):
        return {name: _filled(inner, text) for name, inner in value.items()}
    if isinstance(value, list):
        return [_filled(inner, text) for inner in value]
    return value.replace(SCHEDULED_TIME, text) if isinstance(value, str) else value


def timed_fields(value: Any, path: str = "") -> Iterator[str] | list[str]:
    """Return the dotted fields whose text names the scheduled time."""
    if isinstance(value, dict):
        return [found for name, inner in value.items() for found in timed_fields(inner, f"{path}.{name}".strip("."))]
    if isinstance(value, list):
        return [found for n, inner in enumerate(value) for found in timed_fields(inner, f"{path}.{n}")]
    return [path] if isinstance(value, str) and SCHEDULED_TIME in value else []


def owners(specs: Iterable[Job], known: Mapping[str, Schedule]) -> dict[str, str]:
    """Return, by job name, the schedule whose firings make it: its own, or that of a job it needs, near or far."""
    specs = list(specs)
    found = {spec.name: spec.name for spec in specs if spec.schedule}
    made = {job: name for name, schedule in known.items() for job in (d["name"] for d in schedule.documents)}
    while True:
        before = len(found)
        for spec in specs:
            fired = {found.get(n.name) or made.get(n.name) for n in job_spec.upstream(spec)} - {None}
            if spec.name not in found and fired:
                found[spec.name] = min(filter(None, fired))
        if len(found) == before:
            return found


def schedules(
    specs: list[Job],
    owners: Mapping[str, str],
    known: Mapping[str, Schedule],
    project: str,
    owner: str,
    now: float,
) -> list[Schedule]:
    """Return each schedule of a submission as it shall be."""
    names = sorted(set(owners.values()))
    groups = {name: [job_spec.dump(spec) for spec in specs if owners[spec.name] == name] for name in names}
    return [_one(name, documents, known.get(name), project, owner, now) for name, documents in groups.items()]


def _one(name: str, given: list[Plain], before: Schedule | None, project: str, owner: str, now: float) -> Schedule:
    itself = [document for document in given if document["name"] == name]
    followers = [document for document in given if document["name"] != name]
    if itself:
        kept = _attached(before, given)
        documents, attached = itself + followers + kept, [document["name"] for document in kept]
    else:
        assert before is not None, "a follower has somebody to follow"
        new = {document["name"] for document in followers}
        documents = [document for document in before.documents if document["name"] not in new] + followers
        attached = sorted(new | set(before.attached))
    digest = of_json(documents)
    if before is None:
        return _timed(_new(name, documents, attached, digest, project, owner, now))
    if before.digest == digest:
        return before
    return _changed(before, documents, attached, digest, now)


def _attached(before: Schedule | None, given: list[Plain]) -> list[Plain]:
    """Return what follows the schedule from another submission stays, unless it came again."""
    here = {document["name"] for document in given}
    if before is None:
        return []
    return [d for d in before.documents if d["name"] in before.attached and d["name"] not in here]


def _new(
    name: str, documents: list[Plain], attached: list[str], digest: str, project: str, owner: str, now: float
) -> Schedule:
    suspended = bool(documents[0]["schedule"].get("suspend", False))
    return Schedule(
        project=project,
        name=name,
        owner=owner,
        documents=documents,
        attached=attached,
        digest=digest,
        suspended=suspended,
        created=now,
        updated=now,
        considered=now,
    )


def _changed(before: Schedule, documents: list[Plain], attached: list[str], digest: str, now: float) -> Schedule:
    """Return the next version. Other times begin now: they were never missed."""
    after = replace(
        before, documents=documents, attached=attached, digest=digest, version=before.version + 1, updated=now
    )
    old, new = before.timing, after.timing
    if old.suspend != new.suspend:
        after = replace(after, suspended=new.suspend)
    if (old.cron, old.time_zone) != (new.cron, new.time_zone) or (before.suspended and not after.suspended):
        after = replace(after, considered=now)
    return _timed(after)


def _timed(schedule: Schedule) -> Schedule:
    return replace(schedule, next_at=next_at(schedule), reason=None)


def next_at(schedule: Schedule) -> float | None:
    """Return when its next firing comes."""
    firings = cron.coming(schedule.name, schedule.timing, schedule.considered, 1)
    return firings[0].at if firings else None
