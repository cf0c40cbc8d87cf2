"""Queues, preemption and elastic jobs through the whole server: the in-memory cluster, drivers played by hand."""

from dataclasses import replace
from typing import Any

import pytest
from server_bench import Bench, DriverDouble, train

from orchestrator import queues
from orchestrator.scheduler import Node
from orchestrator.states import Status


def ruled(bench: Bench, **file: Any) -> None:
    settings = replace(bench.server.settings, policy=queues.parse({"protected": "0s", **file}))
    bench.server.settings = bench.server.supervisor.settings = settings


def start(bench: Bench, name: str, **more: Any) -> tuple[str, DriverDouble]:
    (job,) = bench.submit(train(name, **more))
    bench.step()
    return job, bench.driver(f"{job}-{bench.job(job).attempt}")


def test_a_more_important_job_gets_the_place_of_another(bench: Bench) -> None:
    ruled(bench)
    low, driver = start(bench, "low", priority=10, resources={"workers": 2})
    (high,) = bench.submit(train("high", priority=90, resources={"workers": 2}))
    bench.step()
    assert driver.heartbeat() == "checkpoint_and_stop"
    assert bench.job(low).status == Status.STOPPING
    assert bench.job(high).reason == "waiting for 2 CPUs; 0 free; low stops for it"
    bench.step(3)
    assert bench.job(high).status == Status.QUEUED, "what a stopping attempt holds is given to nobody"
    driver.result("stopped")
    bench.step(2)
    assert bench.job(high).status == Status.STARTING
    assert (bench.job(low).status, bench.job(low).desired) == (Status.QUEUED, "RUN")
    assert "preempted" in bench.events(low)
    bench.driver(f"{high}-1").result("succeeded")
    bench.step(3)
    assert (bench.job(low).status, bench.attempts(low)[0].failure) == (Status.STARTING, None)
    assert 'ganworks_preemptions_total{queue="default"} 1.0' in bench.get("/metrics").text


def test_equal_priority_preempts_nobody(bench: Bench) -> None:
    ruled(bench)
    _, driver = start(bench, "first", resources={"workers": 2})
    bench.submit(train("second", resources={"workers": 2}))
    bench.step(3)
    assert driver.heartbeat() == "continue"


def test_no_more_victims_than_are_needed_and_the_cheapest_first(bench: Bench) -> None:
    ruled(bench)
    bench.cluster.machines = [Node(id="n", cpus=4)]
    bench.sleep(5)
    _, large = start(bench, "large", priority=10, resources={"workers": 2})
    _, small = start(bench, "small", priority=10)
    _, other = start(bench, "other", priority=20)
    bench.submit(train("urgent", priority=90))
    bench.step()
    assert [each.heartbeat() for each in (large, small, other)] == ["continue", "checkpoint_and_stop", "continue"]


def test_a_victim_that_does_not_stop_in_time_is_stopped_through_ray_and_blamed_for_nothing(bench: Bench) -> None:
    ruled(bench)
    low, driver = start(bench, "low", priority=10, resources={"workers": 2}, retry={"limit": 0})
    (high,) = bench.submit(train("high", priority=90, resources={"workers": 2}))
    bench.step()
    bench.sleep(70, beating=driver)
    assert bench.cluster.stops == [f"{low}-1"]
    bench.sleep(20)
    assert bench.attempts(low)[0].failure == "preempted"
    assert bench.job(low).status in (Status.RETRYING, Status.QUEUED), "a limit of 0 is for its own faults"
    assert bench.job(high).status == Status.STARTING


def test_a_cancel_goes_before_a_preemption(bench: Bench) -> None:
    ruled(bench)
    low, driver = start(bench, "low", priority=10, resources={"workers": 2})
    bench.submit(train("high", priority=90, resources={"workers": 2}))
    bench.step()
    bench.post(f"/api/v1/jobs/{low}/cancel")
    driver.result("stopped")
    assert bench.job(low).status == Status.CANCELLED


def test_an_elastic_job_shrinks_for_another_and_grows_back(bench: Bench) -> None:
    ruled(bench, grow_after="30s")
    bench.cluster.machines = [Node(id="n", cpus=4)]
    bench.sleep(5)
    elastic, driver = start(bench, "elastic", priority=10, resources={"workers": {"min": 1, "max": 4}})
    assert bench.attempts(elastic)[0].workers == 4
    (other,) = bench.submit(train("other", priority=50, resources={"workers": 2}))
    bench.step()
    assert driver.heartbeat() == "checkpoint_and_stop"
    assert "shrunk" in bench.events(elastic)
    driver.result("stopped")
    bench.step(3)
    assert bench.job(other).status == Status.STARTING
    assert bench.attempts(elastic)[1].workers == 2
    driver = bench.driver(f"{elastic}-2")
    bench.driver(f"{other}-1").result("succeeded")
    bench.sleep(25, beating=driver)
    assert bench.job(elastic).status == Status.RUNNING, "not for a moment's idleness"
    bench.sleep(35, beating=driver)
    assert "grown" in bench.events(elastic)
    driver.call("result", {"outcome": "stopped"})
    bench.step(3)
    assert len(bench.attempts(elastic)) == 2, "its own places are not free yet: it would come back no larger"
    driver.dies()
    bench.step(3)
    assert bench.attempts(elastic)[2].workers == 4


def test_elastic_training_takes_only_sizes_that_share_the_groups(bench: Bench) -> None:
    bench.cluster.machines = [Node(id="n", cpus=3)]
    bench.sleep(5)
    job, _ = start(bench, "elastic", resources={"workers": {"min": 1, "max": 4}})
    assert bench.attempts(job)[0].workers == 2, "3 workers cannot share 4 groups"


QUEUES = {
    "default": {},
    "research": {"guaranteed": {"cpus": 2}, "borrow": {"cpus": 1}, "user": {"jobs": 2}},
    "batch": {"guaranteed": {"cpus": 0}},
}


def test_a_queue_keeps_to_its_quota_and_says_so(bench: Bench) -> None:
    ruled(bench, queues=QUEUES)
    bench.cluster.machines = [Node(id="n", cpus=8)]
    bench.sleep(5)
    bench.submit(train("a", queue="research", resources={"workers": 2}))
    (second,) = bench.submit(train("b", queue="research", resources={"workers": 2}))
    (free,) = bench.submit(train("c", resources={"workers": 4}))
    bench.step()
    assert bench.job(second).reason == "waiting for 2 CPUs in queue research; it holds 2 of 3"
    assert bench.job(free).status == Status.STARTING, "a full queue holds up no other"


def test_a_full_queue_preempts_its_own_lower_ones(bench: Bench) -> None:
    ruled(bench, queues={"default": {}, "research": {"guaranteed": {"cpus": 2}, "borrow": {"cpus": 0}}})
    bench.cluster.machines = [Node(id="n", cpus=8)]
    bench.sleep(5)
    _, other = start(bench, "other", priority=10)
    low, driver = start(bench, "low", queue="research", priority=10, resources={"workers": 2})
    (equal,) = bench.submit(train("equal", queue="research", priority=10))
    bench.step()
    assert driver.heartbeat() == "continue"
    (high,) = bench.submit(train("high", queue="research", priority=50))
    bench.step()
    assert (driver.heartbeat(), other.heartbeat()) == ("checkpoint_and_stop", "continue"), (
        "there is room: quota is short"
    )
    assert bench.job(high).reason == "waiting for 1 CPU in queue research; it holds 2 of 2; low stops for it"
    driver.result("stopped")
    bench.step(3)
    assert bench.job(high).status == Status.STARTING
    assert (bench.job(equal).status, bench.job(low).status) == (Status.STARTING, Status.QUEUED)


def test_one_behind_a_blocked_head_preempts_as_well(bench: Bench) -> None:
    """The first in line waits for another kind of node, which it cannot have sooner; that is no reason for others."""
    ruled(bench)
    bench.cluster.machines = [Node(id="a", cpus=4), Node(id="h", cpus=4, gpus=2, accelerator="H100")]
    bench.sleep(5)
    _, first = start(bench, "first", priority=95, resources={"accelerator": "H100", "gpus_per_worker": 2})
    _, low = start(bench, "low", priority=10, resources={"workers": 4, "gpus_per_worker": 0, "cpus_per_worker": 1})
    (head,) = bench.submit(train("head", priority=90, resources={"accelerator": "H100", "gpus_per_worker": 2}))
    (next_,) = bench.submit(train("next", priority=50, resources={"workers": 4, "gpus_per_worker": 0}))
    bench.step()
    assert (first.heartbeat(), low.heartbeat()) == ("continue", "checkpoint_and_stop")
    low.result("stopped")
    bench.step(3)
    assert (bench.job(head).status, bench.job(next_).status) == (Status.QUEUED, Status.STARTING)


def test_small_ones_do_not_starve_a_large_one_of_their_queue(bench: Bench) -> None:
    ruled(bench, queues={"default": {"guaranteed": {"cpus": 4}, "borrow": {"cpus": 0}}})
    bench.cluster.machines = [Node(id="n", cpus=8)]
    bench.sleep(5)
    _, one = start(bench, "one", priority=60, resources={"workers": 2})
    (large,) = bench.submit(train("large", priority=60, resources={"workers": 4}))
    (small,) = bench.submit(train("small", priority=50))
    bench.step(3)
    assert bench.job(small).reason == "waiting for quota in queue default behind job large"
    one.result("succeeded")
    bench.step(3)
    assert bench.job(large).status == Status.STARTING


def test_a_users_jobs_are_limited(bench: Bench) -> None:
    ruled(bench, queues={"default": {"user": {"jobs": 1}}})
    bench.submit(train("a"))
    (second,) = bench.submit(train("b"))
    bench.step()
    assert bench.job(second).reason == "waiting for another job of ada: 1 may run at once in queue default"


def test_a_guarantee_calls_back_what_was_borrowed(bench: Bench) -> None:
    ruled(bench, queues=QUEUES)
    _, borrower = start(bench, "borrower", queue="batch", priority=90, resources={"workers": 2})
    bench.submit(train("owner", queue="research", priority=10, resources={"workers": 2}))
    bench.step()
    assert borrower.heartbeat() == "checkpoint_and_stop"


REFUSED = [
    ({"queue": "resaerch"}, "queue", "there is no queue 'resaerch' on this server; did you mean 'research'?"),
    ({"queue": "research", "resources": {"workers": 4}}, "resources",
     "needs 4 CPUs in queue research; it holds 0 of 3"),
    ({"resources": {"accelerator": "H100"}}, "resources", "needs 1 GPU on H100; the cluster has 0 in all"),
    ({"resources": {"node_labels": {"zone": "west"}}}, "resources",
     "needs 1 GPU on nodes with zone=west; the cluster has 0 in all"),
    ({"resources": {"memory_per_worker": "8GiB"}}, "resources", "needs 8 GiB memory; the cluster has 4 in all"),
    ({"resources": {"gpus_per_worker": 4, "workers": 2}}, "resources",
     "needs 2 workers of 1 CPU and 4 GPUs each; the cluster's nodes have room for 0"),
]  # fmt: skip


@pytest.mark.parametrize(("more", "path", "message"), REFUSED)
def test_what_could_never_start_is_refused(bench: Bench, more: dict[str, Any], path: str, message: str) -> None:
    ruled(bench, queues=QUEUES)
    bench.cluster.machines = [Node(id=f"n{n}", cpus=4, gpus=2, memory=2**30) for n in range(4)]
    bench.sleep(5)
    (problem,) = bench.post("/api/v1/jobs", {"documents": [train(**more)]}).json()["error"]["problems"]
    assert (problem["path"], problem["message"]) == (path, message)


def test_labels_and_accelerators_choose_the_nodes(bench: Bench) -> None:
    bench.cluster.machines = [
        Node(id="a", cpus=4, gpus=2, accelerator="A100"),
        Node(id="h", cpus=4, gpus=2, accelerator="H100", labels={"zone": "west"}),
    ]
    bench.sleep(5)
    first, second = bench.submit(
        train("first", resources={"accelerator": "H100"}), train("second", resources={"node_labels": {"zone": "west"}})
    )
    bench.step()
    assert bench.attempts(first)[0].placement == bench.attempts(second)[0].placement == {"h": 1}


BAD = [
    ({"queus": {}}, "queus: unknown field; did you mean 'queues'?"),
    ({"queues": {"a": {"guaranteed": {"gpu": 3}}}}, "queues.a.guaranteed.gpu: unknown field; did you mean 'gpus'?"),
    ({"queues": {"a": {"weight": 0}}}, "queues.a.weight:"),
    ({"half_life": "soon"}, "half_life: a duration is expected"),
]


@pytest.mark.parametrize(("file", "said"), BAD)
def test_a_bad_file_of_queues_is_told(file: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match="GANWORKS_QUEUES") as caught:
        queues.parse(file)
    assert said in str(caught.value)
