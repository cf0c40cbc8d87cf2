"""Every failure by name: planted, and answered as its rule says; what crashes for ever comes to an end."""

from typing import Any

import pytest
from server_bench import Bench, DriverDouble, train

from orchestrator.policies.retry import ACTIONS
from orchestrator.scheduler import Node
from orchestrator.states import Status


def start(bench: Bench, **more: Any) -> tuple[str, DriverDouble]:
    (job,) = bench.submit(train(**{"retry": {"backoff": "1s"}, **more}))
    bench.step()
    return job, bench.driver(f"{job}-1")


def told(failure: str) -> Any:
    def plant(bench: Bench) -> str:
        job, driver = start(bench)
        driver.result("failed", failure=failure, message="planted")
        return job

    return plant


def lost(bench: Bench) -> str:
    job, driver = start(bench)
    driver.dies()
    bench.step(14)
    return job


def node_lost(bench: Bench) -> str:
    job, driver = start(bench)
    bench.cluster.machines = [Node(id="node-2", cpus=2)]
    driver.dies()
    bench.step(14)
    return job


def test_a_rank_that_was_lost_with_its_node_is_the_nodes_fault(bench: Bench) -> None:
    job, driver = start(bench)
    bench.cluster.machines = [Node(id="node-2", cpus=2)]
    bench.step(seconds=6)
    driver.result("failed", failure="lost", message="worker 0 is gone")
    (attempt,) = bench.attempts(job)
    assert (attempt.failure, attempt.message) == ("node_lost", "node node-1 is gone; worker 0 is gone")


def stalled(bench: Bench) -> str:
    job, driver = start(bench)
    for _ in range(45):
        bench.clock.now += 14
        driver.tick(phase="training", examples=100)
        bench.server.supervisor.step()
    return job


def never_claimed(bench: Bench) -> str:
    (job,) = bench.submit(train(retry={"backoff": "1s"}))
    bench.step()
    bench.sleep(190)
    return job


def refused(bench: Bench) -> str:
    bench.cluster.refusing = "no such image"
    (job,) = bench.submit(train(retry={"backoff": "60s"}))
    bench.step()
    return job


def stopped(bench: Bench) -> str:
    job, driver = start(bench)
    driver.result("stopped")
    return job


def preempted(bench: Bench) -> str:
    job, driver = start(bench, priority=10, resources={"workers": 2})
    bench.sleep(60, beating=driver)
    bench.submit(train("urgent", priority=90, resources={"workers": 2}))
    bench.sleep(70, beating=driver)
    bench.sleep(10)
    return job


def timeout(bench: Bench) -> str:
    job, driver = start(bench, timeout="20s")
    bench.sleep(30, beating=driver)
    driver.result("stopped")
    return job


PLANTS = {
    **{name: told(name) for name in ("storage", "worker", "out_of_memory", "user_code", "bad_data", "diverged", "collapsed", "gate")},
    "lost": lost, "node_lost": node_lost, "stalled": stalled, "start": never_claimed, "submit": refused,
    "stopped": stopped, "preempted": preempted, "timeout": timeout,
}  # fmt: skip
ELSEWHERE = {"queue_timeout", "upstream", "reference"}  # of jobs that never started: test_supervisor.py


def test_every_name_is_planted() -> None:
    assert set(PLANTS) | ELSEWHERE == set(ACTIONS)


@pytest.mark.parametrize("failure", sorted(PLANTS))
def test_each_is_answered_as_the_table_says(bench: Bench, failure: str) -> None:
    job = bench.job(PLANTS[failure](bench))
    if ACTIONS[failure] == "fail":
        assert (job.status, job.failure) == (Status.FAILED, failure)
    else:
        assert job.status in (Status.RETRYING, Status.QUEUED, Status.STARTING)
        assert bench.attempts(job.id)[0].failure == failure
        assert bench.attempts(job.id)[0].excused == (True if ACTIONS[failure] == "ignore" else None)


def crash_loop(bench: Bench, job: str, outcome: Any, times: int = 120) -> None:
    for number in range(1, times):
        bench.step(4, seconds=200)
        if f"{job}-{number}" not in bench.cluster.entries or bench.job(job).has_ended:
            return
        outcome(bench.driver(f"{job}-{number}"))


@pytest.mark.parametrize(
    ("retry", "attempts", "said"),
    [
        ({"limit": 3}, 4, "retry.limit is 3"),
        ({"limit": 3, "rules": [{"failure": "storage", "action": "fail"}]}, 1, "it crashed"),
        ({"limit": 0, "rules": [{"log": "crashed", "action": "ignore"}]}, 101, "ignored 100 times"),
    ],
)
def test_a_crash_loop_ends_with_a_clear_reason(bench: Bench, retry: dict, attempts: int, said: str) -> None:
    (job,) = bench.submit(train(retry={"backoff": "1s", **retry}))
    crash_loop(bench, job, lambda driver: driver.result("failed", failure="storage", message="it crashed"))
    assert (bench.job(job).status, len(bench.attempts(job))) == (Status.FAILED, attempts)
    assert said in (bench.job(job).reason or "")


def test_an_out_of_memory_loop_ends_sooner(bench: Bench) -> None:
    (job,) = bench.submit(train(retry={"backoff": "1s", "limit": 9}))
    crash_loop(bench, job, lambda driver: driver.result("failed", failure="out_of_memory", message="CUDA"))
    assert len(bench.attempts(job)) == 2
    assert "2 attempts ended so" in (bench.job(job).reason or "")


def test_a_rule_on_the_exit_code_that_ray_tells(bench: Bench) -> None:
    job, driver = start(bench, retry={"backoff": "1s", "rules": [{"exit_code": 33, "action": "fail"}]})
    driver.dies(message="Job entrypoint command failed with exit code 33, last available logs:\nbye")
    bench.step(14)
    assert (bench.job(job).status, bench.attempts(job)[0].exit_code) == (Status.FAILED, 33)


def test_a_rule_on_the_exit_code_that_the_driver_tells(bench: Bench) -> None:
    job, driver = start(bench, retry={"backoff": "1s", "rules": [{"exit_code": 33, "action": "retry"}]})
    driver.result("failed", failure="user_code", message="it left with exit code 33", exit_code=33)
    assert (bench.job(job).status, bench.attempts(job)[0].exit_code) == (Status.RETRYING, 33)
    bench.step(3, seconds=2)
    bench.driver(f"{job}-2").result("failed", failure="user_code", message="it left with exit code 34", exit_code=34)
    assert bench.job(job).status == Status.FAILED, "another code has no rule, and user code is not retried"


def test_a_rule_on_the_log(bench: Bench) -> None:
    job, driver = start(bench, retry={"backoff": "1s", "rules": [{"log": "CUDA error", "action": "retry"}]})
    driver.call("result", {"outcome": "failed", "failure": "user_code", "message": "m", "log": "…\nCUDA error: x\n…"})
    assert bench.job(job).status == Status.RETRYING


def test_a_rule_that_names_no_failure_is_refused(bench: Bench) -> None:
    document = train(retry={"rules": [{"failure": "diverge", "action": "fail"}]})
    (problem,) = bench.post("/api/v1/jobs", {"documents": [document]}).json()["error"]["problems"]
    assert problem["path"] == "retry.rules.0.failure"
    assert "did you mean 'diverged'?" in problem["message"]


def test_a_node_of_repeated_faults_is_avoided(bench: Bench) -> None:
    bench.cluster.machines = [Node(id="bad", cpus=4), Node(id="good", cpus=2)]
    bench.sleep(5)
    (job,) = bench.submit(train(retry={"backoff": "1s"}))
    for number in (1, 2):
        bench.step(4)
        bench.attempts(job)[-1]
        driver = bench.driver(f"{job}-{number}")
        driver.result("failed", failure="worker")
    bench.step(10)
    nodes = [set(attempt.placement) for attempt in bench.attempts(job)]
    assert nodes[0] == nodes[1] != nodes[2]


def test_retry_goes_on_with_budgets_anew(bench: Bench) -> None:
    job, driver = start(bench, retry={"limit": 0, "backoff": "1s"})
    assert bench.post(f"/api/v1/jobs/{job}/retry").status_code == 409
    driver.result("failed", failure="storage")
    bench.step(3)
    assert bench.job(job).status == Status.FAILED
    answer = bench.post(f"/api/v1/jobs/{job}/retry")
    assert (answer.status_code, answer.json()["status"]) == (200, "WAITING")
    bench.step(4)
    assert bench.attempts(job)[1].number == 2
    bench.driver(f"{job}-2").result("succeeded")
    bench.step(3)
    assert (bench.job(job).status, bench.job(job).archived) == (Status.SUCCEEDED, True)
    assert bench.events(job)[-4:] == ["started", "running", "attempt_ended", "succeeded"]


def test_retry_does_not_make_two_of_one_name(bench: Bench) -> None:
    job, driver = start(bench)
    driver.result("failed", failure="bad_data")
    bench.submit(train())
    answer = bench.post(f"/api/v1/jobs/{job}/retry")
    assert answer.status_code == 409
    assert "has a newer one" in answer.json()["error"]["message"]
