"""A training that goes back, through the store: what it left is never resumed from, and a kill on the way changes
nothing of how it ends."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jobs.driver.attempt import layout_of, store_of
from jobs.driver.orchestrator_client import OrchestratorClient
from jobs.driver.rank import RankZeroHooks, Work, one_line
from jobs.storage import checkpoints
from jobs.wire import Claim
from tests.support.orchestrator import Orchestrator
from tests.support.planted import SpoiledTwice
from trainers import checkpoint
from trainers.data.pack import pack
from trainers.data.packed import PackedData
from trainers.data.readers.shapes import Shapes
from trainers.loop import Outcome, Settings, Tick, train

SPEC = {
    "kind": "train",
    "name": "shapes",
    "model": {"family": "dcgan"},
    "data": {"source": "shapes"},
    "train": {"checkpoint": {"keep": 3}},
}
STEP = 24
TWICE_BACK = STEP * 12  # the older of the two healthy states
SETTINGS = Settings(
    family="dcgan", family_object=SpoiledTwice, params={"base_channels": 8, "latent": {"dim": 16}},
    examples=STEP * 40, batch_size=STEP, group=4, seed=SpoiledTwice.seed, precision="fp32", checkpoint_every=STEP * 6,
    grid_every=10**6, grid_count=4, threads=1, device="cpu", tick_seconds=1e-6, health={"on_divergence": "rollback"},
)  # fmt: skip


class Killed(BaseException):
    pass


class KilledOnTheWay(RankZeroHooks):
    """Its process ends at the first tick after the training went back for the second time."""

    def tick(self, tick: Tick) -> str:
        if tick.stats.get("rollbacks") == 2:
            raise Killed
        return super().tick(tick)


class KilledBeforeItForgot(RankZeroHooks):
    """Its process ends while what it left is still in the store."""

    def rolled_back(self, examples: int) -> None:
        if examples == TWICE_BACK:
            raise Killed
        super().rolled_back(examples)


@pytest.fixture
def orchestrator() -> Iterator[Orchestrator]:
    server = Orchestrator()
    yield server
    server.stop()


@pytest.fixture
def client(orchestrator: Orchestrator) -> Iterator[OrchestratorClient]:
    client = OrchestratorClient(orchestrator.url, "j-1", "t")
    yield client
    client.close()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> PackedData:
    return pack(Shapes(count=96), tmp_path_factory.mktemp("data") / "shapes", resolution=16)


@pytest.fixture
def attempt(
    orchestrator: Orchestrator, client: OrchestratorClient, data: PackedData, tmp_path: Path
) -> Callable[..., tuple[Outcome, RankZeroHooks]]:
    """Trains as one attempt does, from the newest checkpoint that was recorded."""
    lineages: dict[str, list[dict[str, str]]] = {}

    def run(job: str, number: int, hooks: type[RankZeroHooks] = RankZeroHooks) -> tuple[Outcome, RankZeroHooks]:
        claim = Claim(
            attempt_id="j-1", number=number, token="t", project="default", job_id=job, job_name="shapes", kind="train",
            spec=SPEC, references={}, workers=1, cpus_per_worker=1, gpus_per_worker=0, secrets={}, heartbeat_seconds=5,
            store={"uri": str(tmp_path / "store")}, url="", lineage=lineages.get(job, []),
        )  # fmt: skip
        here, store, lineage = (
            tmp_path / job / str(number),
            store_of(claim),
            checkpoints.recorded(layout_of(claim), claim.lineage or ()),
        )
        found = checkpoints.newest(store, lineage, here / "resume", lambda kind, text: pytest.fail(text))
        key, resume = found or (None, None)
        out = hooks(Work(claim=claim, home=str(tmp_path), resume=key), store, client)
        try:
            outcome = train(SETTINGS, data, workspace=here, resume=resume, hooks=out)
            out.finish(outcome, here)
        finally:
            lineages[job] = orchestrator.sent("lineage")[-1]["checkpoints"]
        return outcome, out

    return run


def digests(outcome: Outcome) -> dict[str, str]:
    assert outcome.checkpoint
    files = checkpoint.read_commit(outcome.checkpoint)["files"]
    return {name: entry["sha256"] for name, entry in files.items()}


def rollbacks(outcome: Outcome) -> int:
    assert outcome.checkpoint
    return checkpoint.load(outcome.checkpoint).progress["rollbacks"]


def test_what_was_left_is_gone_and_the_new_line_is_whole(attempt: Callable[..., tuple[Outcome, RankZeroHooks]]) -> None:
    outcome, hooks = attempt("calm", 1)
    left = checkpoints.committed(hooks.store, hooks.job)
    assert [key.examples // STEP for key in left] == [40, 36, 30]
    rows = [json.loads(text) for text in hooks.store.get(hooks.job.draft(1, hooks.job.merged_stats)).splitlines()]
    assert [row["examples"] for row in rows] == sorted({row["examples"] for row in rows})
    assert {row["stats"].get("rollbacks", 0) for row in rows if row["examples"] > TWICE_BACK} == {2}
    assert rollbacks(outcome) == 2


def test_a_kill_after_it_went_back_changes_nothing(attempt: Callable[..., tuple[Outcome, RankZeroHooks]]) -> None:
    calm, _ = attempt("calm", 1)
    with pytest.raises(Killed):
        attempt("killed", 1, KilledOnTheWay)
    assert digests(attempt("killed", 2)[0]) == digests(calm)


def test_a_kill_before_it_forgot_costs_one_more_rollback(attempt: Callable[..., tuple[Outcome, RankZeroHooks]]) -> None:
    with pytest.raises(Killed):
        attempt("killed", 1, KilledBeforeItForgot)
    outcome, hooks = attempt("killed", 2)
    assert (outcome.status, rollbacks(outcome)) == ("finished", 2)
    assert checkpoints.committed(hooks.store, hooks.job)[0].examples == outcome.examples


def test_one_line_of_ticks_out_of_several() -> None:
    told = [(1, 1, 10), (1, 2, 20), (1, 3, 30), (1, 4, 20), (2, 5, 25), (2, 6, 40)]
    rows = [{"attempt": attempt, "time": time, "examples": examples} for attempt, time, examples in told]
    assert [(row["time"], row["examples"]) for row in one_line(reversed(rows))] == [(1, 10), (4, 20), (5, 25), (6, 40)]
