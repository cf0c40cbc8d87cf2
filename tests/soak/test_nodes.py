"""Several Ray nodes on one machine: labels, a node killed, the head killed, elastic growth and shrink.

Run by hand: make soak
"""

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.test_survival import wait_for_checkpoint, weights
from tests.support import weed
from tests.support.nodes import Nodes
from tests.support.works import TheWorks

WEST, EAST = "127.0.0.2", "127.0.0.3"
TRAIN = """\
kind: train
name: NAME
model: {family: dcgan, params: {base_channels: 8, ema: {half_life: 500}}}
data: {source: shapes, resolution: 16}
train: {examples: EXAMPLES, batch_size: 64, seed: 3, checkpoint: {every: 2k, keep: 3}, grids: {every: 1M, count: 4}}
resources: {workers: WORKERS}
retry: {limit: 6, backoff: 1s}
"""

pytestmark = pytest.mark.timeout(900)


def spec(name: str, examples: str = "24k", workers: str = "2", **more: str) -> str:
    text = TRAIN.replace("NAME", name).replace("EXAMPLES", examples).replace("WORKERS", workers)
    return text + "".join(f"{key}: {value}\n" for key, value in more.items())


@pytest.fixture(scope="module")
def nodes(s3_server: weed.S3Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    """A head of one CPU; tests add nodes. Idle capacity goes to elastic jobs after ten seconds."""
    home = tmp_path_factory.mktemp("nodes")
    works = TheWorks(home, s3_server)
    queues = home / "queues.yaml"
    queues.write_text("protected: 5s\ngrow_after: 10s\nqueues: {default: {}}\n")
    works.env |= {"GANWORKS_QUEUES": str(queues)}
    works.up("--cpus", "1")
    nodes = Nodes(works)
    yield nodes
    nodes.close()
    works.down()


def restored(works: TheWorks, job: dict[str, Any]) -> list[int]:
    """Where the attempts went on, in examples."""
    events = [event for event in works.events(job["id"]) if event["type"] == "restored"]
    return [int(event["message"].split(" at ")[1].split()[0]) for event in events]


def last_tick(works: TheWorks, job: dict[str, Any], attempt: int) -> int:
    ticks = works.client.get(f"/jobs/{job['id']}/ticks", limit=5000)["ticks"]
    return max(int(tick["examples"]) for tick in ticks if tick["attempt"] == attempt and "examples" in tick)


def test_an_elastic_job_grows_into_a_new_node_and_shrinks_for_another_job(nodes: Nodes, tmp_path: Path) -> None:
    works = nodes.works
    (elastic,) = works.submit(spec("elastic", "400k", "{min: 1, max: 2}", priority="10"), tmp_path)
    wait_for_checkpoint(works, elastic, 1)
    nodes.ensure(WEST, zone="west")
    wait_for_checkpoint(works, elastic, 2)
    (other,) = works.submit(spec("other", "2k", "1", priority="90"), tmp_path)
    assert works.wait_ended(other)["status"] == "SUCCEEDED", works.story(other)
    works.wait(elastic, lambda job: job["attempt"] == 4)
    wait_for_checkpoint(works, elastic, 4)
    works.ganworks("cancel", elastic)
    job = works.wait_ended(elastic)
    assert job["status"] == "CANCELLED", works.story(elastic)
    assert [attempt["workers"] for attempt in job["attempts"]] == [1, 2, 1, 2]
    kinds = [event["type"] for event in works.events(elastic)]
    assert "grown" in kinds
    assert "shrunk" in kinds
    for attempt, position in enumerate(restored(works, job), 1):
        assert position == last_tick(works, job, attempt), "a resize loses no step"


def test_labels_choose_the_node_on_which_ray_runs_it(nodes: Nodes, tmp_path: Path) -> None:
    works = nodes.works
    nodes.ensure(EAST, zone="east")
    text = spec("eastern", "16k", "1").replace("workers: 1}", "workers: 1, node_labels: {zone: east}}")
    (job_id,) = works.submit(text, tmp_path)
    works.wait(job_id, lambda job: (job["tick"] or {}).get("examples", 0) > 0)
    assert nodes.of_ranks() == [EAST]
    (east,) = [node["id"] for node in nodes.seen()["nodes"] if node["labels"].get("zone") == "east"]
    job = works.wait_ended(job_id)
    assert job["status"] == "SUCCEEDED", works.story(job_id)
    assert job["attempts"][0]["placement"] == {east: 1}
    done = works.ganworks("submit", str(_file(tmp_path, text.replace("zone: east", "zone: north"))))
    assert done.returncode != 0
    assert "on nodes with zone=north" in done.stderr


def _file(folder: Path, text: str) -> Path:
    path = folder / "north.yaml"
    path.write_text(text)
    return path


@pytest.fixture(scope="module")
def calm(nodes: Nodes, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The weights of the run that nobody disturbs, of two workers on a head and two nodes."""
    nodes.ensure(WEST, zone="west")
    nodes.ensure(EAST, zone="east")
    (job_id,) = nodes.works.submit(spec("calm"), tmp_path_factory.mktemp("calm"))
    return weights(nodes.works, nodes.works.wait_ended(job_id))


def test_a_killed_node_is_named_and_the_job_goes_on_elsewhere(
    nodes: Nodes, calm: dict[str, str], tmp_path: Path
) -> None:
    works = nodes.works
    (job_id,) = works.submit(spec("node-killed"), tmp_path)
    wait_for_checkpoint(works, job_id, 1)
    victim = next(ip for ip in nodes.of_ranks() if ip in nodes.started)
    nodes.kill(victim)
    job = works.wait_ended(job_id)
    assert job["status"] == "SUCCEEDED", works.story(job_id)
    assert [attempt["failure"] in ("lost", "node_lost") for attempt in job["attempts"]] == [True, False], json.dumps(
        [(attempt["failure"], attempt["message"]) for attempt in job["attempts"]]
    )
    assert weights(works, job) == calm
    nodes.add(victim)


def test_a_killed_head_comes_back_and_the_job_goes_on(nodes: Nodes, calm: dict[str, str], tmp_path: Path) -> None:
    works = nodes.works
    (job_id,) = works.submit(spec("head-killed"), tmp_path)
    wait_for_checkpoint(works, job_id, 1)
    (gcs,) = works.find("gcs_server")
    gcs.send_signal(signal.SIGKILL)
    nodes.wait_until(lambda: [found for found in works.find("gcs_server") if found.pid != gcs.pid])
    nodes.wait_until(lambda: nodes.cpus() == 1)
    for ip in list(nodes.started):
        nodes.kill(ip)
        nodes.add(ip)
    job = works.wait_ended(job_id)
    assert job["status"] == "SUCCEEDED", works.story(job_id)
    assert job["attempts"][0]["failure"] == "lost"
    assert weights(works, job) == calm
