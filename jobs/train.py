"""A TrainJob on Ray Train: one TorchTrainer a attempt, one process a worker, gang-placed.

Every worker group is one attempt: Ray restarts and resizes nothing by itself. Progress and checkpoints go
their own way (jobs.driver.rank): Ray's report() waits for the controller's poll, and forgets what was not polled.
"""

import logging
from pathlib import Path
from typing import Literal

import ray.train
from pydantic import JsonValue
from ray.train import FailureConfig, RunConfig, ScalingConfig, WorkerGroupError
from ray.train.torch import TorchConfig, TorchTrainer
from ray.train.v2.api.exceptions import PreemptionError, TrainingFailedError

from jobs import wire
from jobs.driver import ray_session
from jobs.driver.attempt import layout_of, store_of
from jobs.driver.failures import Failed, named
from jobs.driver.orchestrator_client import OrchestratorClient
from jobs.driver.rank import Work, run_rank
from jobs.specs.spec import TrainJob
from jobs.storage import checkpoints
from jobs.storage.layout import CONFIG, MANIFEST, WEIGHTS, Layout
from jobs.storage.manifest import Manifest, card, head, made_by, publish, published
from jobs.store import Store
from jobs.wire import Claim, Command, TrainEnd, TrainSummary

# Ray's own words for a worker that went away; any of them beats the errors that its peers then raise.
_GONE = ("ActorDiedError", "ActorUnavailableError", "WorkerHealthCheckFailedError", "NodeDiedError", "OwnerDiedError",
         "WorkerHealthCheckTimeoutError", "RayActorError", "WorkerCrashedError")  # fmt: skip


class TrainManifest(Manifest):
    kind: Literal["train"] = "train"
    family: str
    examples: int
    steps: int
    seed: int
    data: dict[str, JsonValue] | None = None  # what became of the source's pictures; null: of a manifest from before


def run(claim: Claim, client: OrchestratorClient, home: Path) -> wire.Result:
    """Run one attempt. Raises Failed, StoreError or Stale."""
    ray_session.join(client)
    spec = claim.spec
    assert isinstance(spec, TrainJob)
    store, job = store_of(claim), layout_of(claim)
    if manifest := published(store, job, client, TrainManifest, claim.accepted):
        return wire.result("succeeded", summary(store, job, manifest))
    lineage, here = _lineage(claim, store, job), home / "attempts" / claim.attempt_id / "resume"
    resume = checkpoints.newest(store, lineage, here, client.event)
    if resume:
        client.event(
            "restored", f"from the checkpoint at {resume[0].examples} examples, of attempt {resume[0].attempt}"
        )
    work = Work(claim=claim, home=str(home), resume=resume[0] if resume else None)
    try:
        end = _fit(work, spec)
    except Failed as failed:
        if failed.failure != "interrupted":  # no rank has trained: what is there to go on from is what was there before
            raise
        return wire.result("cancelled" if client.command == Command.CANCEL else "stopped")
    if end.status != "finished":
        return wire.result(end.status, TrainSummary(examples=end.examples))
    manifest = _publish(claim.number, spec, store, job, client, end)
    return wire.result("succeeded", summary(store, job, manifest, end.examples_per_second))


def _lineage(claim: Claim, store: Store, job: Layout) -> checkpoints.Lineage:
    """Return what may be resumed from: what the database has recorded; where it has no record yet, what is there."""
    if claim.lineage is None:
        return checkpoints.committed(store, job)
    return checkpoints.recorded(job, claim.lineage)


def _fit(work: Work, spec: TrainJob) -> TrainEnd:
    claim = work.claim
    gpus = claim.gpus_per_worker
    device = "cuda" if gpus else "cpu"
    asked = spec.resources
    memory = {"memory": asked.memory_per_worker} if asked.memory_per_worker else {}
    where = {"accelerator_type": asked.accelerator, "label_selector": dict(asked.node_labels) or None}
    trainer = TorchTrainer(
        lambda: _worker(work, device),
        scaling_config=ScalingConfig(
            num_workers=claim.workers,
            use_gpu=bool(gpus),
            resources_per_worker={"CPU": claim.cpus_per_worker, **({"GPU": gpus} if gpus else {}), **memory},
            **where,
        ),
        torch_config=TorchConfig(backend="nccl" if gpus else "gloo", timeout_s=1800),
        run_config=RunConfig(
            name=claim.attempt_id,  # a name that was used before would resume that run
            storage_path=str(work.workspace / "ray-train"),
            failure_config=FailureConfig(max_failures=0, max_preemption_failures=0, controller_failure_limit=3),
        ),
    )
    try:
        return trainer.fit().return_value
    except WorkerGroupError as error:
        raise _cause(error.worker_failures) from error
    except (
        TrainingFailedError
    ) as error:  # its nodes were taken away, or its controller died: nothing that user code did
        failure = "preempted" if isinstance(error, PreemptionError) else "lost"
        raise Failed(failure, f"Ray Train gave up: {str(error).strip().splitlines()[-1][:300]}") from error


def _worker(work: Work, device: str) -> TrainEnd:
    """Run in a rank's process. Exceptions become named failures that survive the way back."""
    logging.getLogger("ray.train").setLevel(logging.WARNING)
    try:
        return run_rank(work, rank=ray.train.get_context().get_world_rank(), device=device)
    except (Exception, SystemExit) as error:
        raise named(error) from error


def _cause(failures: dict[int, Exception]) -> Failed:
    """Decide which of several workers' errors is the cause: a lost one, then a named one, then the first."""
    errors = [_unwrap(failures[rank]) for rank in sorted(failures)]
    for rank, error in zip(sorted(failures), errors, strict=True):
        if type(error).__name__ in _GONE:
            return Failed("lost", f"worker {rank} is gone: {str(error).splitlines()[0][:300]}")
    known = [error for error in errors if isinstance(error, Failed)]
    return next((error for error in known if error.failure != "user_code"), None) or (
        known[0] if known else named(errors[0])
    )


def _unwrap(error: BaseException) -> BaseException:
    """Unwrap what user code raised: Ray wraps it once or twice."""
    for attribute in ("_base_exc", "cause", "__cause__"):
        inner = getattr(error, attribute, None)
        if isinstance(inner, BaseException) and not isinstance(error, Failed):
            return _unwrap(inner)
    return error


def _publish(
    attempt: int, spec: TrainJob, store: Store, job: Layout, client: OrchestratorClient, end: TrainEnd
) -> TrainManifest:
    files = made_by(store, job, attempt)
    manifest = TrainManifest(
        **head(job, files),
        family=spec.model.family,
        examples=end.examples,
        steps=end.steps,
        seed=spec.train.seed,
        data=end.data,
    )
    text = (
        f"A `{spec.model.family}` generator, trained by ganworks on {end.examples:,} examples of "
        f"`{spec.data.source}`.\n\n{_account(end)}- `model/{WEIGHTS}`, `model/{CONFIG}`: the generator (averaged weights)\n"
        f"- `grids/`: samples of fixed latents during training\n- `report/losses.png`, `stats.jsonl`: the curves\n"
        f"- `checkpoints/`: to go on from\n- `{MANIFEST}`, `SHA256SUMS`: every file's digest"
    )
    readme = card({"library_name": "ganworks", "tags": ["gan", spec.model.family]}, job.job_name, text)
    return publish(store, job, client, manifest, readme, attempt)


def _account(end: TrainEnd) -> str:
    return f"{end.data['line']}.\n\n" if end.data else ""


def summary(
    store: Store, job: Layout, manifest: TrainManifest, examples_per_second: wire.Number = None
) -> TrainSummary:
    """Return what the job's result says."""
    grids = [file.key for file in manifest.files if file.key.startswith("grids/")]
    return TrainSummary(
        output=store.locate(job.prefix),
        model=store.locate(job.model_prefix),
        grid=store.locate(job.prefix + grids[-1]) if grids else None,
        curves=store.locate(job.loss_curves),
        examples=manifest.examples,
        steps=manifest.steps,
        examples_per_second=examples_per_second,
        bytes=manifest.bytes,
    )
