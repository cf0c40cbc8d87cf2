"""A POST whose answer got lost comes again: whatever it asks is done once, whatever happened in between."""

from collections.abc import Callable
from typing import Any

import pytest
from fastapi.routing import APIRoute
from server_bench import Bench, generate, put_model, train

from jobs.digest import of_json
from orchestrator import db
from orchestrator.admission.once import KEPT, once
from orchestrator.serve import ROUTERS

KEY = {"Idempotency-Key": "one and the same"}


def running(bench: Bench, name: str = "fashion") -> str:
    (job,) = bench.submit(train(name))
    bench.step(2)
    bench.driver(f"{job}-1")
    return job


def ended(bench: Bench, outcome: str = "failed") -> str:
    job = running(bench)
    put_model(bench, job)
    bench.driver(f"{job}-1").result(outcome, **({"failure": "data"} if outcome == "failed" else {}))
    bench.step(4)
    return job


def scheduled(bench: Bench) -> str:
    bench.submit(train("nightly", schedule={"cron": "0 2 * * *", "concurrency": "allow"}))
    return "nightly"


# Each: what there is, the POST, what somebody else does before it comes again, and what must then still be so.
# --- of a name that means another job meanwhile


def cancel(bench: Bench) -> tuple[str, Callable[[], None], Callable[[], None]]:
    first, later = running(bench), []

    def meanwhile() -> None:
        bench.driver(f"{first}-1").result("cancelled")
        bench.step(4)
        later.append(running(bench))

    def holds() -> None:
        assert bench.job(first).status == "CANCELLED"
        assert (bench.job(later[0]).status, bench.job(later[0]).desired) == ("RUNNING", "RUN")

    return "/api/v1/jobs/fashion/cancel", meanwhile, holds


def suspend(bench: Bench) -> tuple[str, Callable[[], None], Callable[[], None]]:
    job = running(bench)

    def meanwhile() -> None:
        bench.driver(f"{job}-1").result("stopped")
        bench.step(2)
        assert bench.post(f"/api/v1/jobs/{job}/resume").status_code == 200
        bench.step(2)

    def holds() -> None:
        assert (bench.job(job).status, bench.job(job).desired) == ("STARTING", "RUN")

    return f"/api/v1/jobs/{job}/suspend", meanwhile, holds


def resume(bench: Bench) -> tuple[str, Callable[[], None], Callable[[], None]]:
    job = running(bench)
    bench.post(f"/api/v1/jobs/{job}/suspend")
    bench.driver(f"{job}-1").result("stopped")
    bench.step(2)

    def meanwhile() -> None:
        bench.step(2)
        bench.post(f"/api/v1/jobs/{job}/suspend")
        bench.driver(f"{job}-2").result("stopped")
        bench.step(2)

    def holds() -> None:
        assert bench.job(job).status == "SUSPENDED"

    return f"/api/v1/jobs/{job}/resume", meanwhile, holds


def retry(bench: Bench) -> tuple[str, Callable[[], None], Callable[[], None]]:
    job = ended(bench)

    def meanwhile() -> None:
        bench.step(2)
        bench.driver(f"{job}-2").result("failed", failure="data")
        bench.step(4)

    def holds() -> None:
        bench.step(4)
        assert (bench.job(job).status, bench.job(job).attempt) == ("FAILED", 2)

    return "/api/v1/jobs/fashion/retry", meanwhile, holds


def trigger(bench: Bench) -> tuple[str, Callable[[], None], Callable[[], None]]:
    name = scheduled(bench)

    def holds() -> None:
        assert len(bench.get(f"/api/v1/jobs?name={name}").json()["jobs"]) == 1

    return f"/api/v1/schedules/{name}/trigger", lambda: bench.step(2), holds


def suspend_schedule(bench: Bench) -> tuple[str, Callable[[], None], Callable[[], None]]:
    name = scheduled(bench)

    def holds() -> None:
        assert not bench.get(f"/api/v1/schedules/{name}").json()["suspended"]

    return f"/api/v1/schedules/{name}/suspend", lambda: bench.post(f"/api/v1/schedules/{name}/resume"), holds


def resume_schedule(bench: Bench) -> tuple[str, Callable[[], None], Callable[[], None]]:
    name = scheduled(bench)

    def holds() -> None:
        assert bench.get(f"/api/v1/schedules/{name}").json()["suspended"]

    return f"/api/v1/schedules/{name}/resume", lambda: bench.post(f"/api/v1/schedules/{name}/suspend"), holds


PLAYS = {
    "/api/v1/jobs/{job}/cancel": cancel,
    "/api/v1/jobs/{job}/suspend": suspend,
    "/api/v1/jobs/{job}/resume": resume,
    "/api/v1/jobs/{job}/retry": retry,
    "/api/v1/schedules/{name}/trigger": trigger,
    "/api/v1/schedules/{name}/suspend": suspend_schedule,
    "/api/v1/schedules/{name}/resume": resume_schedule,
}
# What carries its key in its body, or is the same however often it is said; each has its test below.
OWN_KEYS = {
    "/api/v1/jobs": "its body has a key",
    "/api/v1/attempts/{attempt_id}/claim": "the nonce",
    "/api/v1/attempts/{attempt_id}/ticks": "each tick's time",
    "/api/v1/attempts/{attempt_id}/events": "a key of its attempt",
    "/api/v1/attempts/{attempt_id}/heartbeat": "says nothing but that it comes",
    "/api/v1/attempts/{attempt_id}/lineage": "the whole line each time",
    "/api/v1/attempts/{attempt_id}/commit": "the digest",
    "/api/v1/attempts/{attempt_id}/result": "the first end is the end",
}


def test_every_post_has_a_play_here() -> None:
    routes = [route for noun in ROUTERS for route in noun.router.routes if isinstance(route, APIRoute)]
    posts = {route.path for route in routes if "POST" in route.methods}
    assert posts == PLAYS.keys() | OWN_KEYS.keys()
    assert not {route.path for route in routes if route.methods & {"PUT", "PATCH"}}


@pytest.mark.parametrize("route", PLAYS)
def test_the_same_again_changes_nothing_and_is_answered_with_the_same_job(bench: Bench, route: str) -> None:
    path, meanwhile, holds = PLAYS[route](bench)
    first = bench.post(path, **KEY)
    assert first.status_code in (200, 201), first.text
    meanwhile()
    again = bench.post(path, **KEY)
    assert again.status_code == first.status_code, again.text
    assert [again.json().get(name) for name in ("id", "name")] == [first.json().get(name) for name in ("id", "name")]
    holds()


@pytest.mark.parametrize("route", PLAYS)
def test_without_a_key_it_is_asked_anew(bench: Bench, route: str) -> None:
    path, meanwhile, holds = PLAYS[route](bench)
    bench.post(path)
    meanwhile()
    bench.post(path)
    with pytest.raises(AssertionError):
        holds()


def test_a_key_stands_for_one_thing(bench: Bench) -> None:
    job = running(bench)
    assert bench.post(f"/api/v1/jobs/{job}/suspend", **KEY).status_code == 200
    answer = bench.post(f"/api/v1/jobs/{job}/cancel", **KEY)
    assert answer.status_code == 409
    assert bench.job(job).desired == "SUSPEND"


def test_what_was_refused_may_be_asked_again_with_its_key(bench: Bench) -> None:
    job = running(bench)
    assert bench.post(f"/api/v1/jobs/{job}/retry", **KEY).status_code == 409
    bench.driver(f"{job}-1").result("failed", failure="data")
    assert bench.post(f"/api/v1/jobs/{job}/retry", **KEY).status_code == 200
    assert bench.job(job).status != "FAILED"


def test_an_event_that_is_told_twice_is_noted_once(bench: Bench) -> None:
    job = running(bench)
    driver = bench.driver(f"{job}-1")

    def tell(key: str | None, message: str = "the store is away") -> Any:
        headers = {"Ganworks-Wire": str(driver.version), **({"Idempotency-Key": key} if key else {})}
        body = {"type": "store_trouble", "message": message}
        return bench.post(f"/api/v1/attempts/{driver.id}/events", body, token=driver.token, **headers)

    for key in ("a", "a", "b" * 200, "b" * 200, None, None):
        assert tell(key).json() == {"command": "continue"}
    assert bench.events(job).count("store_trouble") == 4
    assert tell("a", "another").status_code == 409


def test_keys_of_two_attempts_do_not_meet(bench: Bench) -> None:
    jobs = [running(bench, name) for name in ("one", "two")]
    for job in jobs:
        driver = bench.driver(f"{job}-1")
        headers = {"Ganworks-Wire": str(driver.version), **KEY}
        body = {"type": "finding", "message": "the same"}
        bench.post(f"/api/v1/attempts/{driver.id}/events", body, token=driver.token, **headers)
    assert [bench.events(job).count("finding") for job in jobs] == [1, 1]


def test_the_rest_of_what_drivers_post_is_the_same_however_often_it_comes(bench: Bench) -> None:
    (job,) = bench.submit(train())
    bench.step()
    driver = bench.driver(f"{job}-1")
    digest = of_json({"files": []})
    for _ in range(2):
        assert driver.claim().status_code == 200
        assert driver.tick(phase="training", time=bench.clock.now, examples=64) == "continue"
        assert driver.heartbeat() == "continue"
        assert driver.call("lineage", {"checkpoints": [{"folder": "000000000064-a1"}]}).status_code == 200
        assert driver.call("commit", {"sha256": digest}).status_code == 200
    assert [driver.result("succeeded").status_code for _ in range(2)] == [200, 200]
    assert len(bench.get(f"/api/v1/jobs/{job}/ticks").json()["ticks"]) == 1
    events = bench.events(job)
    assert all(events.count(type) == 1 for type in ("claimed", "committed", "succeeded") if type in events)
    assert len(bench.attempts(job)) == 1


def test_a_submission_with_its_key_is_answered_with_its_jobs_though_one_has_ended(bench: Bench) -> None:
    jobs = bench.submit(train(), generate(), key="k")
    bench.step(2)
    bench.post(f"/api/v1/jobs/{jobs[0]}/cancel")
    bench.step(4)
    assert bench.submit(train(), generate(), key="k") == jobs


def test_old_keys_are_forgotten(bench: Bench) -> None:
    done: list[int] = []

    def act() -> list[str]:
        done.append(1)
        return ["x"]

    with bench.server.database.write() as connection:
        for now in (0.0, 1.0, KEPT + 0.5):
            once(connection, "default", f"key-{now}", "post", now, act)
        assert db.answers.get(connection, "default", "key-0.0") is None
        assert db.answers.get(connection, "default", "key-1.0")
        assert once(connection, "default", "key-1.0", "post", KEPT, act) == ["x"]
    assert len(done) == 3
