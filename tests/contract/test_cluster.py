"""What the supervisor relies on, checked alike on Ray and on its in-memory twin.

Ray comes from the fixture `ray_cluster` (address, token_path); where there is none, only the twin is checked.
"""

import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from orchestrator.cluster import Cluster, Unreachable
from orchestrator.cluster.memory import MemoryCluster
from orchestrator.cluster.ray import RayCluster
from orchestrator.policies.liveness import Driver, DriverStatus


@dataclass(kw_only=True)
class Rig:
    """A cluster, and how to let a driver there come to its end."""

    cluster: Cluster
    finish: Callable[[str], None]
    cut_off: Callable[[], Cluster]  # the same one, unreachable

    def ended(self, id: str, seconds: float = 60) -> Driver:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            driver = self.cluster.driver(id)
            if driver and driver.has_ended:
                return driver
            time.sleep(0.1)
        raise AssertionError(f"{id} has not ended: {self.cluster.driver(id)}")


def in_memory() -> Rig:
    cluster = MemoryCluster()

    def finish(id: str) -> None:
        cluster.entries[id].log = f"hello {cluster.entries[id].env['GREETING']}\n"
        cluster.becomes(id, DriverStatus.SUCCEEDED)

    return Rig(cluster=cluster, finish=finish, cut_off=lambda: MemoryCluster(reachable=False))


def on_ray(address: str, token_path: str) -> Rig:
    token = Path(token_path).read_text().strip()
    nowhere = "http://127.0.0.1:9"  # discard: nothing listens
    return Rig(cluster=RayCluster(address, token), finish=lambda id: None, cut_off=lambda: RayCluster(nowhere, token))


@pytest.fixture(params=["memory", "ray"])
def rig(request: pytest.FixtureRequest) -> Iterator[Rig]:
    if request.param == "memory":
        yield in_memory()
        return
    try:
        ray = request.getfixturevalue("ray_cluster")
    except pytest.FixtureLookupError:
        pytest.skip("no Ray here")
    rig = on_ray(ray.address, ray.token_path)
    yield rig
    rig.cluster.close()  # type: ignore[attr-defined]


@pytest.fixture
def id() -> str:
    return f"contract-{uuid.uuid4().hex[:12]}"


def submit(rig: Rig, id: str, entrypoint: str = 'echo "hello $GREETING"') -> None:
    rig.cluster.submit(id, entrypoint, {"GREETING": "works"}, {"job_name": "contract"})


def log(rig: Rig, id: str) -> str:
    part = rig.cluster.read_log(id, 0, 1 << 20)
    assert part is not None
    assert len(part.data) == part.size
    return part.data.decode()


def test_a_log_is_read_by_ranges(rig: Rig, id: str) -> None:
    submit(rig, id)
    rig.finish(id)
    rig.ended(id)
    check_ranges(rig, id)
    if isinstance(rig.cluster, RayCluster):
        place = rig.cluster._places[id]
        assert place.is_near, "the agent of its node serves ranges"
        rig.cluster._places[id] = replace(
            place, agent="http://127.0.0.1:9"
        )  # as where only the dashboard can be reached
        check_ranges(rig, id)
        assert not rig.cluster._places[id].is_near


def check_ranges(rig: Rig, id: str) -> None:
    whole = log(rig, id).encode()
    assert whole
    for start, stop in ((0, 5), (6, 11), (6, 10**9), (len(whole), len(whole) + 9), (10**9, 10**9 + 5)):
        part = rig.cluster.read_log(id, start, stop)
        assert part is not None
        assert (part.data, part.size) == (whole[start:stop], len(whole))


def test_the_nodes_and_what_they_have(rig: Rig) -> None:
    nodes = rig.cluster.nodes()
    assert nodes
    assert sum(node.cpus for node in nodes) >= 1
    assert 0 <= rig.cluster.free().get("CPU", 0) <= sum(node.cpus for node in nodes)


def test_a_driver_from_submission_to_end(rig: Rig, id: str) -> None:
    submit(rig, id)
    assert id in rig.cluster.drivers()
    rig.finish(id)
    assert rig.ended(id).status == DriverStatus.SUCCEEDED
    assert "hello works" in log(rig, id)
    assert rig.cluster.drivers()[id].has_ended


def test_a_doubled_submission_is_one_driver(rig: Rig, id: str) -> None:
    submit(rig, id)
    submit(rig, id)
    rig.finish(id)
    rig.ended(id)
    assert log(rig, id).count("hello works\n") == 1


def test_stopping(rig: Rig, id: str) -> None:
    submit(rig, id, "exec sleep 300")
    rig.cluster.stop(id)
    assert rig.ended(id).status == DriverStatus.STOPPED
    rig.cluster.stop(id)


def test_what_is_unknown(rig: Rig) -> None:
    assert rig.cluster.driver("nobody-1") is None
    assert rig.cluster.read_log("nobody-1", 0, 100) is None
    assert "nobody-1" not in rig.cluster.drivers()
    rig.cluster.stop("nobody-1")
    rig.cluster.delete("nobody-1")


def test_what_is_deleted_is_unknown(rig: Rig, id: str) -> None:
    submit(rig, id)
    rig.finish(id)
    rig.ended(id)
    rig.cluster.delete(id)
    assert rig.cluster.driver(id) is None


@pytest.mark.parametrize("question", ["nodes", "free", "drivers"])
def test_not_reaching_it_is_said(rig: Rig, question: str) -> None:
    with pytest.raises(Unreachable):
        getattr(rig.cut_off(), question)()


def test_submitting_to_nowhere_is_said(rig: Rig, id: str) -> None:
    with pytest.raises(Unreachable):
        rig.cut_off().submit(id, "true", {}, {})
