"""What a submission says by itself, and all that is wrong with it; the database is not asked."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from jobs.specs import check, load
from jobs.specs import spec as job_spec
from jobs.specs.errors import Problem, SpecError, did_you_mean
from jobs.specs.spec import GenerateJob, Plain, TrainJob
from jobs.specs.spec import Job as Spec
from jobs.storage.layout import is_like_an_id
from orchestrator import scheduler
from orchestrator.admission.expand import expanded
from orchestrator.admission.new_job import Asker, new_job
from orchestrator.policies import cron, dependencies, requests
from orchestrator.policies.retry import ACTIONS
from orchestrator.scheduler import Node
from orchestrator.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Understood:
    """What a submission says, by itself: every spec in it, and each combination of a matrix."""

    specs: dict[int, Spec]  # by number; after a sweep's those of its combinations
    origins: dict[int, int]  # number -> document that it comes from

    def without(self, numbers: set[int]) -> "Understood":
        return Understood(specs={n: spec for n, spec in self.specs.items() if n not in numbers}, origins=self.origins)


def understand(
    documents: Sequence[Plain], settings: Settings | None = None, nodes: Sequence[Node] | None = None
) -> Understood:
    """Read and check all that can be told without the database, so that no transaction waits for it.

    Without a server's settings, as `ganworks validate` calls it: all that can be told without a server. Raises
    SpecError with every problem.
    """
    listed, origins = expanded(documents)
    specs, problems = _parse(listed)
    problems += _doubled(specs) + _without_classes(specs)
    for number, spec in specs.items():
        found = (
            check.problems(spec)
            + (_local_paths(spec, settings) + _capacity(spec, nodes, settings) if settings else [])
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


def _without_classes(specs: dict[int, Spec]) -> list[Problem]:
    """Refuse classes of a model that has none, where it is trained by the same submission."""
    by_name = {spec.name: spec for spec in specs.values()}
    problems = []
    for number, spec in specs.items():
        trained = by_name.get(spec.model.from_ or "") if isinstance(spec, GenerateJob) else None
        if not isinstance(spec, GenerateJob) or not isinstance(trained, TrainJob) or spec.sampling.classes is None:
            continue
        family = trained.model.family
        if check.families().get(family, {}).get("conditional", True):
            continue
        able = ", ".join(sorted(name for name, about in check.families().items() if about.get("conditional")))
        message = f"{family}, which {trained.name} trains, knows no classes; families that do: {able}"
        problems.append(Problem(path="sampling.classes", message=message, document=number))
    return problems


def _local_paths(spec: Spec, settings: Settings) -> list[Problem]:
    """Refuse local files that are not below GANWORKS_DATA_ROOTS, where that is set."""
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
    """Refuse a gang that its queue, or this cluster even when empty, could not hold: it would wait for ever."""
    if spec.queue not in settings.policy.queues:
        hint = did_you_mean(spec.queue, settings.policy.queues)
        return [Problem(path="queue", message=f"there is no queue {spec.queue!r} on this server{hint}")]
    if nodes is None or not requests.sizes(spec):
        return []
    job = requests.queued(new_job(spec, Asker(project="", owner="you"), 0.0, None, ""), (), 0.0, 0.0)
    missing = scheduler.shortage(job, nodes)
    if missing:
        return [Problem(path="resources", message=missing)]
    workers = job.sizes[-1]
    least = scheduler.each_of(job, workers, scheduler.whole_gpus(nodes)).times(workers)
    never = scheduler.Ledger(settings.policy, (), {}, scheduler.total(nodes)).never(job, least)
    return [Problem(path="resources", message=never)] if never else []


def _timing(spec: Spec) -> list[Problem]:
    wrong = cron.problem(spec.schedule) if spec.schedule else None
    return [Problem(path=f"schedule.{wrong.partition(':')[0]}", message=wrong.partition(": ")[2])] if wrong else []


def _name(spec: Spec) -> list[Problem]:
    """Refuse a name that looks like an id: jobs are found by id or by name, and none may bear another's id."""
    if not is_like_an_id(spec.name):
        return []
    return [Problem(path="name", message=f"{spec.name!r} looks like the id of a job; choose another name")]


def _rules(spec: Spec) -> list[Problem]:
    """Refuse a rule for a failure that never comes: it would be silently useless."""
    return [
        Problem(
            path=f"retry.rules.{n}.failure", message=f"unknown {rule.failure!r}{did_you_mean(rule.failure, ACTIONS)}"
        )
        for n, rule in enumerate(spec.retry.rules)
        if rule.failure is not None and rule.failure not in ACTIONS
    ]
