"""What is asked for again, deleted, renamed or repeated keeps its meaning."""

from pathlib import Path
from typing import Any

import pytest
from server_bench import TOKEN, Bench, generate, put_model, train

from orchestrator import db
from orchestrator.server.leader import Leadership, Taken


def ended(bench: Bench, job: str, outcome: str) -> None:
    bench.step(2)
    number = bench.job(job).attempt
    driver = bench.driver(f"{job}-{number}", nonce=f"nonce of {job}")
    if outcome == "succeeded":
        put_model(bench, job)
        driver.result("succeeded")
    else:
        driver.result("failed", failure="user_code")
    bench.step(3)


def delete(bench: Bench, job: str) -> Any:
    return bench.http.delete(f"/api/v1/jobs/{job}", headers={"Authorization": f"Bearer {TOKEN}"})


def test_a_dependant_tried_again_needs_what_its_spec_names(bench: Bench) -> None:
    first, second = bench.submit(train("a"), train("b", needs=["a"]))
    ended(bench, first, "failed")
    assert bench.job(second).failure == "upstream"
    bench.step(2)
    assert delete(bench, first).status_code == 200
    answer = bench.post(f"/api/v1/jobs/{second}/retry")
    assert answer.status_code == 409
    assert "there is no job 'a'" in answer.json()["error"]["message"]
    (again,) = bench.submit(train("a"))
    assert bench.post(f"/api/v1/jobs/{second}/retry").status_code == 200
    ended(bench, again, "succeeded")
    bench.step(2)
    assert bench.job(second).attempt == 1


def test_a_dependant_leaves_a_cancelled_upstream(bench: Bench) -> None:
    first, second = bench.submit(train("a"), generate("b", source="a"))
    bench.post(f"/api/v1/jobs/{first}/cancel")
    bench.step(3)
    assert bench.job(second).status == "FAILED"
    (again,) = bench.submit(train("a"))
    assert bench.post(f"/api/v1/jobs/{second}/retry").status_code == 200
    assert [need["id"] for need in bench.get(f"/api/v1/jobs/{second}").json()["needs"]] == [again]


def test_a_sweep_tried_again_tries_its_jobs_again(bench: Bench) -> None:
    sweep, first, second = bench.submit(train("sweep", matrix={"train.seed": [0, 1]}))
    ended(bench, first, "failed")
    ended(bench, second, "failed")
    bench.step(2)
    assert bench.job(sweep).status == "FAILED"
    assert bench.post(f"/api/v1/jobs/{sweep}/retry").status_code == 200
    bench.step(2)
    assert not bench.job(sweep).has_ended
    ended(bench, first, "succeeded")
    ended(bench, second, "failed")
    bench.step(2)
    assert bench.job(sweep).status == "SUCCEEDED"


def test_a_retry_during_archiving_leaves_nothing_archived(bench: Bench) -> None:
    (job,) = bench.submit(train())
    bench.step(2)
    bench.driver(f"{job}-1").result("failed", failure="user_code")
    put = bench.server.store.put

    def slowly(key: str, data: bytes, **more: Any) -> None:
        put(key, data, **more)
        if key.endswith("events.jsonl"):
            bench.server.store.put = put  # type: ignore[method-assign]
            assert bench.post(f"/api/v1/jobs/{job}/retry").status_code == 200

    bench.server.store.put = slowly  # type: ignore[method-assign]
    bench.step(4)
    assert bench.server.store.put is put
    assert bench.job(job).archived is False


def test_ids_win_and_names_that_look_like_ids_are_refused(bench: Bench) -> None:
    (job,) = bench.submit(train())
    for name in (job, f"{job}-1"):
        (problem,) = bench.post("/api/v1/jobs", {"documents": [train(name)]}).json()["error"]["problems"]
        assert problem["path"] == "name"
    with bench.server.database.write() as connection:  # as an earlier version admitted it
        db.jobs.add(connection, bench.job(job).evolve(id="other", name=job))
    assert bench.post(f"/api/v1/jobs/{job}/cancel").json()["id"] == job


def test_a_repeated_post_is_answered_alike_and_done_once(bench: Bench) -> None:
    bench.submit(train("nightly", schedule={"cron": "0 2 * * *", "concurrency": "allow"}))
    key = {"Idempotency-Key": "one and the same"}
    first = bench.post("/api/v1/schedules/nightly/trigger", **key)
    bench.clock.now += 5
    again = bench.post("/api/v1/schedules/nightly/trigger", **key)
    assert (first.status_code, again.json()["id"]) == (201, first.json()["id"])
    assert len(bench.get("/api/v1/jobs?name=nightly").json()["jobs"]) == 1
    job = first.json()["id"]
    assert bench.post(f"/api/v1/jobs/{job}/cancel").status_code == 200
    retried = [bench.post(f"/api/v1/jobs/{job}/retry", **{"Idempotency-Key": "two"}).status_code for _ in range(2)]
    assert retried == [200, 200]


def test_caught_up_firings_start_in_their_order(bench: Bench) -> None:
    schedule = {"cron": "0 * * * *", "catch_up": "all", "concurrency": "allow"}
    bench.submit(train("hourly", schedule=schedule))
    bench.clock.now += 6 * 3600
    bench.step(3)
    with bench.server.database.read() as connection:
        made = [job for job in db.jobs.unfinished(connection) if job.schedule]
    submitted = [job.submitted for job in sorted(made, key=lambda job: job.scheduled_time or 0)]
    assert len(submitted) == 6
    assert submitted == sorted(set(submitted))


def test_two_ways_to_one_database_are_one_database(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    first = Leadership(db.Database(f"sqlite:///{tmp_path}/real/ganworks.db"))
    with pytest.raises(Taken):
        Leadership(db.Database(f"sqlite:///{tmp_path}/link/ganworks.db"))
    first.release()


def test_rays_list_keeps_the_newest_of_what_is_archived(bench: Bench) -> None:
    """People look there for what has just ended; every step asks for all of it."""
    bench.server.archiver.kept_in_ray = 2
    jobs = []
    for number in range(4):
        (job,) = bench.submit(train(f"job-{number}"))
        ended(bench, job, "succeeded")
        bench.step(3)
        bench.sleep(61)
        jobs.append(job)
    bench.step(3)
    assert sorted(bench.cluster.entries) == [f"{job}-1" for job in jobs[2:]]
    assert all(bench.job(job).archived for job in jobs)


def test_ray_keeps_what_is_not_archived(bench: Bench) -> None:
    bench.server.archiver.kept_in_ray = 0
    (job,) = bench.submit(train())
    bench.step()
    bench.sleep(61)
    assert list(bench.cluster.entries) == [f"{job}-1"]
