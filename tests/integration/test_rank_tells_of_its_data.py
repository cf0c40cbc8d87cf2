"""A rank tells what became of its pictures, and refuses to go on with others than it began with."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.datasets import BadData
from jobs.driver.attempt import layout_of, store_of
from jobs.driver.failures import failure_of
from jobs.driver.rank import Interrupted, Work, run_rank
from jobs.storage import checkpoints
from jobs.wire import Claim
from tests.support import sources
from tests.support.orchestrator import Orchestrator
from tests.support.sources import png
from trainers.families.gan import GAN


@pytest.fixture
def orchestrator() -> Iterator[Orchestrator]:
    server = Orchestrator()
    yield server
    server.stop()


def work(orchestrator: Orchestrator, tmp_path: Path, examples: int) -> Work:
    spec = {
        "kind": "train", "name": "pets", "model": {"family": "gan", "params": GAN.tiny()},
        "data": {"source": str(tmp_path / "pets"), "resolution": 8},
        "train": {"examples": examples, "batch_size": 8, "checkpoint": {"every": 8}},
    }  # fmt: skip
    claim = Claim(
        attempt_id=f"j-{examples}", number=1, token="t", project="default", job_id="j", job_name="pets", kind="train",
        spec=spec, references={}, workers=1, cpus_per_worker=1, gpus_per_worker=0, secrets={}, heartbeat_seconds=5,
        store={"uri": str(tmp_path / "store"), "env": {}}, url=orchestrator.url,
    )  # fmt: skip
    found = checkpoints.committed(store_of(claim), layout_of(claim))
    return Work(claim=claim, home=str(tmp_path / "home"), resume=found[0] if found else None)


def test_what_became_of_the_pictures_is_one_event_and_goes_into_the_manifest(
    orchestrator: Orchestrator, tmp_path: Path
) -> None:
    sources.folder(tmp_path / "pets", {"cat/1.png": png(1), "dog/1.png": png(2), "dog/notes.txt": b"x"})
    end = run_rank(work(orchestrator, tmp_path, 16), rank=0, device="cpu")
    (event,) = [event for event in orchestrator.sent("events") if event["type"] == "prepared"]
    said = "pets: 2 pictures used of 2 classes (cat 1, dog 1); 1 left out: not a picture (.txt) (dog/notes.txt)"
    assert event["message"] == said
    assert event["data"] == end.data
    assert (end.data or {})["by_class"] == {"cat": 1, "dog": 1}


@pytest.mark.parametrize("command", ["checkpoint_and_stop", "cancel", "stale"])
def test_a_stop_while_pictures_are_packed_is_heeded_at_the_next_report(
    command: str, orchestrator: Orchestrator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.driver.rank.QUIET", 0.0)
    monkeypatch.setattr("trainers.data.pack.PROGRESS_EVERY", 1)
    sources.folder(tmp_path / "pets", {f"{number}.png": png(number) for number in range(400)})
    orchestrator.command = command
    with pytest.raises(Interrupted, match=command) as raised:
        run_rank(work(orchestrator, tmp_path, 16), rank=0, device="cpu")
    assert failure_of(raised.value) == "interrupted"
    assert not list((tmp_path / "home" / "data" / "packed").glob("*/meta.json"))  # it had not come to its end


def test_one_picture_is_enough(orchestrator: Orchestrator, tmp_path: Path) -> None:
    sources.folder(tmp_path / "pets", {"1.png": png(1)})
    assert run_rank(work(orchestrator, tmp_path, 16), rank=0, device="cpu").status == "finished"


def test_a_source_that_changed_between_attempts_is_bad_data_with_its_path(
    orchestrator: Orchestrator, tmp_path: Path
) -> None:
    sources.folder(tmp_path / "pets", {"1.png": png(1), "2.png": png(2)})
    run_rank(work(orchestrator, tmp_path, 16), rank=0, device="cpu")
    sources.folder(tmp_path / "pets", {"3.png": png(3)})
    with pytest.raises(BadData, match=rf"data\.source: {tmp_path}/pets has changed since the checkpoint") as raised:
        run_rank(work(orchestrator, tmp_path, 32), rank=0, device="cpu")
    assert failure_of(raised.value) == "bad_data"
