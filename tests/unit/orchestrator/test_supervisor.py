"""What becomes of jobs: the supervisor over the in-memory cluster, drivers played by hand."""

import pytest
from server_bench import Bench, DriverDouble, generate, put_model, restarted, train

from orchestrator.policies.liveness import DriverStatus
from orchestrator.states import Status


def start(bench: Bench, document: dict | None = None) -> tuple[str, DriverDouble]:
    (job,) = bench.submit(document or train())
    bench.step()
    return job, bench.driver(f"{job}-1")


def test_a_job_runs_from_the_queue_to_success(bench: Bench) -> None:
    job, driver = start(bench)
    assert bench.job(job).status == Status.RUNNING
    assert driver.tick(phase="training", examples=100, total_examples=200) == "continue"
    assert driver.result("succeeded", data={"model": "m"}).status_code == 200
    assert bench.job(job).status == Status.SUCCEEDED
    bench.step(3)
    assert bench.attempts(job)[0].released is not None
    assert bench.events(job) == ["submitted", "started", "running", "attempt_ended", "succeeded"]


def test_the_driver_is_started_with_a_claim_and_no_secret(bench: Bench) -> None:
    (job,) = bench.submit(train())
    bench.step()
    entry = bench.cluster.entries[f"{job}-1"]
    assert entry.metadata == {"job_name": "fashion", "job_id": job}
    assert entry.env["GANWORKS_ATTEMPT"] == f"{job}-1"
    assert not any("AWS" in name or "TOKEN" in name for name in entry.env)


def test_what_does_not_fit_waits_and_says_why(bench: Bench) -> None:
    first, second, third = bench.submit(
        train("a", resources={"workers": 2}), train("b", resources={"workers": 2}), train("c", priority=40)
    )
    bench.step()
    assert bench.job(first).status == Status.STARTING
    assert bench.job(second).reason == "waiting for 2 CPUs; 0 free"
    assert bench.job(third).reason == "waiting for 1 CPU; 0 free; behind job b"


def test_a_place_is_free_once_ray_confirms_the_end(bench: Bench) -> None:
    first, second = bench.submit(train("a", resources={"workers": 2}), train("b", resources={"workers": 2}))
    bench.step()
    driver = bench.driver(f"{first}-1")
    driver.call("result", {"outcome": "succeeded"})
    bench.step()
    assert bench.job(second).status == Status.QUEUED, "its driver still runs"
    driver.dies(DriverStatus.SUCCEEDED)
    bench.step(2)
    assert bench.job(second).status == Status.STARTING


def test_died_between_row_and_submission(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench.server.supervisor.attempts, "submit", lambda *_: None)
    (job,) = bench.submit(train())
    bench.step()
    assert bench.cluster.submissions == []
    restarted(bench)
    bench.step()
    assert bench.cluster.submissions == [f"{job}-1"]
    bench.driver(f"{job}-1")
    assert len(bench.attempts(job)) == 1


def test_died_between_rays_acceptance_and_its_note(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench.server.supervisor.attempts, "_change", lambda *_, **__: None)
    (job,) = bench.submit(train())
    bench.step()
    restarted(bench)
    bench.step()
    assert bench.cluster.submissions == [f"{job}-1"], "adopted, not submitted again"
    assert "adopted" in bench.events(job)
    bench.driver(f"{job}-1")


def test_an_unanswered_submission_is_looked_up(bench: Bench) -> None:
    (job,) = bench.submit(train())
    submit = bench.cluster.submit

    def unanswered(*arguments: object) -> None:
        submit(*arguments)  # type: ignore[arg-type]
        from orchestrator.cluster import Unreachable

        raise Unreachable("timed out")

    bench.cluster.submit = unanswered  # type: ignore[method-assign]
    bench.step(2)
    assert bench.cluster.submissions == [f"{job}-1"]
    assert bench.attempts(job)[0].submitted is not None


def test_a_refused_submission_is_tried_again_within_the_limit(bench: Bench) -> None:
    bench.cluster.refusing = "no such runtime environment"
    (job,) = bench.submit(train(retry={"limit": 1, "backoff": "1s"}))
    bench.step(10)
    assert [attempt.failure for attempt in bench.attempts(job)] == ["submit", "submit"]
    assert bench.job(job).status == Status.FAILED
    assert "no such runtime environment" in (bench.job(job).reason or "")


def test_a_driver_that_ends_without_a_result_is_lost_and_retried(bench: Bench) -> None:
    job, driver = start(bench)
    driver.dies(message="exit code 1")
    bench.step()
    assert bench.job(job).status == Status.RUNNING, "its result has some seconds to arrive"
    bench.step(12)
    assert bench.job(job).status == Status.RETRYING
    assert bench.attempts(job)[0].failure == "lost"
    assert "exit code 1" in (bench.job(job).reason or "")
    bench.step(30)
    assert bench.job(job).status == Status.STARTING
    assert bench.attempts(job)[1].id == f"{job}-2"


def test_a_result_within_the_grace_counts(bench: Bench) -> None:
    job, driver = start(bench)
    driver.dies(DriverStatus.SUCCEEDED)
    bench.step(3)
    assert driver.call("result", {"outcome": "succeeded"}).status_code == 200
    assert bench.job(job).status == Status.SUCCEEDED


def test_the_retry_budget_ends(bench: Bench) -> None:
    (job,) = bench.submit(train(retry={"limit": 2, "backoff": "1s"}))
    for number in (1, 2, 3):
        bench.step(8)
        bench.driver(f"{job}-{number}").dies()
        bench.step(14)
    assert bench.job(job).status == Status.FAILED
    assert len(bench.attempts(job)) == 3
    assert "retry.limit is 2" in (bench.job(job).reason or "")


@pytest.mark.parametrize("failure", ["bad_data", "diverged", "user_code"])
def test_failures_of_the_job_itself_are_final(bench: Bench, failure: str) -> None:
    job, driver = start(bench)
    driver.result("failed", failure=failure, message="it is so")
    assert (bench.job(job).status, bench.job(job).failure) == (Status.FAILED, failure)
    assert bench.job(job).reason == "it is so"


def test_a_storage_failure_is_retried(bench: Bench) -> None:
    job, driver = start(bench)
    driver.result("failed", failure="storage")
    assert bench.job(job).status == Status.RETRYING


def test_a_silent_driver_is_stopped_then_lost_and_keeps_its_place(bench: Bench) -> None:
    job, driver = start(bench, train(resources={"workers": 2}, retry={"backoff": "1s"}))
    bench.cluster.stubborn = True
    bench.sleep(70)
    assert bench.cluster.stops[0] == f"{job}-1"
    assert bench.attempts(job)[0].status == "LOST"
    assert driver.heartbeat() == "stale"
    bench.sleep(60)
    assert bench.job(job).status == Status.QUEUED
    assert bench.job(job).reason == "waiting for 2 CPUs; 0 free"
    bench.sleep(40)
    assert bench.job(job).status == Status.STARTING, "the reservation of 90 s is over"


def test_a_stale_driver_can_do_nothing(bench: Bench) -> None:
    job, old = start(bench, train(retry={"backoff": "1s"}))
    bench.sleep(70)
    bench.step(8)
    new = bench.driver(f"{job}-2", nonce="another nonce")
    assert old.tick(phase="training", examples=5) == "stale"
    assert old.call("commit", {"sha256": "0" * 64}).status_code == 409
    assert old.call("result", {"outcome": "succeeded"}).status_code == 409
    assert old.claim().status_code == 410
    assert bench.job(job).status == Status.RUNNING
    assert new.call("commit", {"sha256": "1" * 64}).status_code == 200
    assert new.result("succeeded").status_code == 200
    assert bench.job(job).status == Status.SUCCEEDED


def test_no_progress_is_a_stall_though_it_calls(bench: Bench) -> None:
    job, driver = start(bench)
    driver.tick(phase="training", examples=100)
    for _ in range(45):
        bench.clock.now += 14
        driver.tick(phase="training", examples=100)
        bench.server.supervisor.step()
    assert bench.attempts(job)[0].failure == "stalled"


def test_preparing_may_take_long_while_it_calls(bench: Bench) -> None:
    job, driver = start(bench)
    for _ in range(60):
        bench.clock.now += 14
        driver.tick(phase="preparing", progress={"label": "data", "done": 1, "total": 9})
        bench.server.supervisor.step()
    assert bench.job(job).status == Status.RUNNING


def test_the_servers_own_downtime_is_not_counted(bench: Bench) -> None:
    job, driver = start(bench)
    restarted(bench, away=3600)
    bench.step()
    driver.bench = bench
    assert bench.job(job).status == Status.RUNNING
    assert driver.heartbeat() == "continue"
    bench.sleep(50)
    assert bench.job(job).status == Status.RUNNING


def test_a_server_that_slept_gives_new_deadlines(bench: Bench) -> None:
    job, _ = start(bench)
    bench.clock.now += 3600
    bench.server.supervisor.step()
    assert bench.job(job).status == Status.RUNNING
    bench.sleep(70)
    assert bench.attempts(job)[0].status == "LOST", "the new deadline counts"


@pytest.mark.parametrize("hours", [1, -1])
def test_a_clock_that_jumps_loses_nobody(bench: Bench, hours: int) -> None:
    job, driver = start(bench)
    bench.clock.now += hours * 3600
    bench.step()
    assert driver.heartbeat() == "continue"
    bench.sleep(120, beating=driver)
    assert bench.job(job).status == Status.RUNNING


def test_not_reaching_ray_is_no_failure(bench: Bench) -> None:
    job, driver = start(bench)
    bench.cluster.reachable = False
    bench.sleep(150, beating=driver)
    assert bench.job(job).status == Status.RUNNING
    (waiting,) = bench.submit(train("other"))
    bench.step()
    assert bench.job(waiting).reason == "waiting for Ray, which cannot be reached"
    bench.cluster.reachable = True
    bench.sleep(10, beating=driver)
    assert bench.job(waiting).status == Status.STARTING


def test_a_head_that_forgot_its_jobs(bench: Bench) -> None:
    job, driver = start(bench, train(retry={"backoff": "1s"}))
    bench.cluster.forget()
    bench.sleep(10, beating=driver)
    assert bench.job(job).status == Status.RUNNING, "its driver calls: it is alive, whatever Ray knows"
    bench.sleep(20)
    assert bench.attempts(job)[0].status == "LOST"
    assert bench.job(job).status in (Status.QUEUED, Status.STARTING)


def test_a_head_that_forgot_an_unclaimed_attempt(bench: Bench) -> None:
    (job,) = bench.submit(train())
    bench.step()
    bench.cluster.forget()
    bench.step()
    assert bench.cluster.submissions == [f"{job}-1", f"{job}-1"]
    bench.driver(f"{job}-1")


def test_a_driver_that_never_claims(bench: Bench) -> None:
    (job,) = bench.submit(train())
    bench.sleep(190)
    assert bench.attempts(job)[0].failure == "start"


def test_cancel_in_the_queue(bench: Bench) -> None:
    bench.cluster.reachable = False
    (job,) = bench.submit(train())
    answer = bench.post(f"/api/v1/jobs/{job}/cancel").json()
    assert (answer["status"], answer["reason"]) == ("CANCELLED", "cancelled by ada")


def test_cancel_takes_a_checkpoint_first(bench: Bench) -> None:
    job, driver = start(bench)
    bench.post(f"/api/v1/jobs/{job}/cancel")
    assert bench.job(job).status == Status.STOPPING
    assert driver.heartbeat() == "cancel"
    assert driver.tick(phase="training", examples=7) == "cancel"
    driver.result("cancelled")
    assert bench.job(job).status == Status.CANCELLED
    assert bench.cluster.stops == []


def test_cancel_that_is_not_heard_is_enforced(bench: Bench) -> None:
    job, driver = start(bench)
    bench.post(f"/api/v1/jobs/{job}/cancel")
    bench.sleep(55, beating=driver)
    assert bench.cluster.stops == []
    bench.sleep(15, beating=driver)
    assert bench.cluster.stops == [f"{job}-1"]
    bench.step(20)
    assert bench.job(job).status == Status.CANCELLED


def test_cancel_before_the_driver_claims(bench: Bench) -> None:
    (job,) = bench.submit(train())
    bench.step()
    bench.post(f"/api/v1/jobs/{job}/cancel")
    bench.step(14)
    assert bench.job(job).status == Status.CANCELLED


def test_a_cancelled_job_ends_though_ray_is_gone_for_good(bench: Bench) -> None:
    (job,) = bench.submit(train())
    bench.step()
    bench.cluster.reachable = False
    bench.post(f"/api/v1/jobs/{job}/cancel")
    bench.sleep(200)
    assert bench.job(job).status == Status.CANCELLED


def test_success_beats_a_late_cancel(bench: Bench) -> None:
    job, driver = start(bench)
    bench.post(f"/api/v1/jobs/{job}/cancel")
    driver.result("succeeded")
    assert bench.job(job).status == Status.SUCCEEDED


def test_suspend_and_resume(bench: Bench) -> None:
    job, driver = start(bench)
    bench.post(f"/api/v1/jobs/{job}/suspend")
    assert driver.heartbeat() == "checkpoint_and_stop"
    driver.result("stopped")
    assert bench.job(job).status == Status.SUSPENDED
    bench.post(f"/api/v1/jobs/{job}/resume")
    bench.step(3)
    assert bench.job(job).status == Status.STARTING
    assert bench.attempts(job)[1].number == 2


def test_a_stop_that_nobody_asked_for_counts_as_a_failure(bench: Bench) -> None:
    job, driver = start(bench)
    driver.result("stopped")
    assert bench.job(job).status == Status.RETRYING
    assert bench.attempts(job)[0].failure == "stopped"


def test_timeout_over_all_attempts(bench: Bench) -> None:
    job, driver = start(bench, train(timeout="100s", retry={"backoff": "1s"}))
    bench.sleep(60, beating=driver)
    driver.dies()
    bench.step(20)
    second = bench.driver(f"{job}-2")
    bench.sleep(45, beating=second)
    assert second.heartbeat() == "checkpoint_and_stop"
    second.result("stopped")
    assert (bench.job(job).status, bench.job(job).failure) == (Status.FAILED, "timeout")
    assert "its timeout is 100 s" in (bench.job(job).reason or "")


def test_queue_timeout(bench: Bench) -> None:
    bench.submit(train("a", resources={"workers": 2}))
    (job,) = bench.submit(train("b", resources={"workers": 2}, queue_timeout="30s"))
    bench.sleep(35)
    assert (bench.job(job).status, bench.job(job).failure) == (Status.FAILED, "queue_timeout")


def test_a_chain_of_jobs_pins_its_references(bench: Bench) -> None:
    trained, sampled = bench.submit(train(), generate())
    bench.step()
    assert bench.job(sampled).status == Status.WAITING
    assert bench.job(sampled).reason == "waiting for fashion"
    put_model(bench, trained)
    bench.driver(f"{trained}-1").result("succeeded")
    bench.step(3)
    assert bench.job(sampled).status == Status.STARTING
    reply = bench.driver(f"{sampled}-1").claim().json()
    assert reply["references"]["model"]["examples"] == 1000
    assert len(reply["references"]["model"]["weights"][0]["sha256"]) == 64


def test_what_it_needs_failed(bench: Bench) -> None:
    trained, sampled, after = bench.submit(train(), generate(), train("after", needs=["samples"]))
    bench.step()
    bench.driver(f"{trained}-1").result("failed", failure="bad_data")
    bench.step(2)
    assert (bench.job(sampled).status, bench.job(sampled).failure) == (Status.FAILED, "upstream")
    assert bench.job(sampled).reason == "needs fashion succeeded, and it failed (bad_data)"
    assert bench.job(after).failure == "upstream"


def test_when_failed_and_when_finished(bench: Bench) -> None:
    first, on_failure, at_end = bench.submit(
        train("first"),
        train("on-failure", needs=[{"name": "first", "when": "failed"}]),
        train("at-end", needs=[{"name": "first", "when": "finished"}]),
    )
    bench.step()
    bench.driver(f"{first}-1").result("failed", failure="bad_data")
    bench.step(3)
    assert bench.job(on_failure).status == Status.STARTING
    assert bench.job(at_end).status == Status.STARTING


def test_a_model_that_is_not_there(bench: Bench) -> None:
    trained, sampled = bench.submit(train(), generate())
    bench.step()
    bench.driver(f"{trained}-1").result("succeeded")
    bench.step(2)
    assert (bench.job(sampled).status, bench.job(sampled).failure) == (Status.FAILED, "reference")


def test_the_bucket_keeps_what_ray_forgets(bench: Bench) -> None:
    job, driver = start(bench)
    bench.cluster.entries[driver.id].log = "first line\n"
    driver.result("succeeded")
    bench.step(4)
    layout = bench.job(job).layout
    keys = [info.key for info in bench.server.store.list(layout.prefix)]
    assert {layout.job_yaml, layout.events, layout.log(1)} <= set(keys)
    bench.cluster.forget()
    answer = bench.get(f"/api/v1/jobs/{job}/logs").json()
    assert (answer["text"], answer["complete"]) == ("first line\n", True)


def test_auto_gpus_are_chosen_and_recorded(bench: Bench) -> None:
    from orchestrator.scheduler import Node

    bench.cluster.machines = [Node(id="gpu", cpus=8, gpus=2)]
    bench.sleep(5)
    (job,) = bench.submit(train(resources={"workers": 2}))
    bench.step()
    assert bench.attempts(job)[0].gpus_per_worker == 1
