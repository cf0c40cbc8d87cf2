"""What a driver calls."""

import json

import pytest
from server_bench import ORDINARY, Bench, DriverDouble, train

from jobs import kinds, wire
from orchestrator.api.attempts import position


def start(bench: Bench) -> tuple[str, DriverDouble]:
    (job,) = bench.submit(train())
    bench.step()
    return job, DriverDouble(bench, f"{job}-1")


def test_a_claim_answers_all_that_the_job_needs(bench: Bench) -> None:
    job, driver = start(bench)
    reply = driver.claim().json()
    assert reply["attempt_id"] == f"{job}-1"
    assert (reply["number"], reply["kind"], reply["job_name"]) == (1, "train", "fashion")
    assert reply["spec"]["model"] == {"family": "dcgan"}
    assert reply["store"]["uri"] == bench.server.settings.store_uri
    assert (reply["workers"], reply["cpus_per_worker"], reply["gpus_per_worker"]) == (1, 1, 0)


def test_claims_are_made_once(bench: Bench) -> None:
    _, driver = start(bench)
    first = driver.claim().json()
    assert driver.claim().json() == first, "a repeated request is answered alike"
    other = DriverDouble(bench, driver.id, nonce="of another process")
    assert other.claim().status_code == 409


def test_a_wrong_code_claims_nothing(bench: Bench) -> None:
    _, driver = start(bench)
    driver.code = "0" * 64
    assert driver.claim().status_code == 403
    assert (
        bench.post(
            "/api/v1/attempts/nobody-1/claim", {"claim": "c", "nonce": "12345678"}, **{wire.HEADER: str(wire.VERSION)}
        ).status_code
        == 403
    )


def test_a_claim_of_what_is_over(bench: Bench) -> None:
    _, driver = start(bench)
    driver.claim()
    driver.call("result", {"outcome": "succeeded"})
    assert driver.claim().status_code == 410


def test_a_result_may_be_repeated_but_not_changed(bench: Bench) -> None:
    _, driver = start(bench)
    driver.claim()
    body = {"outcome": "succeeded", "data": {"model": "m"}}
    assert driver.call("result", body).status_code == 200
    assert driver.call("result", body).status_code == 200
    assert driver.call("result", {"outcome": "failed"}).status_code == 409
    assert bench.get("/api/v1/jobs/fashion").json()["result"] == {"model": "m"}


def test_a_digest_is_accepted_once(bench: Bench) -> None:
    job, driver = start(bench)
    driver.claim()
    assert driver.call("commit", {"sha256": "a" * 64}).status_code == 200
    assert driver.call("commit", {"sha256": "a" * 64}).status_code == 200
    assert driver.call("commit", {"sha256": "b" * 64}).status_code == 409
    assert bench.events(job).count("committed") == 1


def second(bench: Bench, job: str, first: DriverDouble) -> DriverDouble:
    """The next attempt, once the first is taken for lost."""
    first.dies()
    bench.sleep(60)
    return DriverDouble(bench, f"{job}-2")


def test_a_job_has_one_digest_and_a_later_attempt_stands_for_it(bench: Bench) -> None:
    job, driver = start(bench)
    assert driver.claim().json()["accepted"] is None
    driver.call("commit", {"sha256": "a" * 64})
    later = second(bench, job, driver)
    assert later.claim().json()["accepted"] == "a" * 64
    assert later.call("commit", {"sha256": "b" * 64}).status_code == 409
    assert later.call("result", {"outcome": "succeeded"}).status_code == 409, "it does not stand for what was accepted"
    assert later.call("commit", {"sha256": "a" * 64}).status_code == 200
    assert later.call("result", {"outcome": "succeeded"}).status_code == 200


def test_a_stale_attempt_commits_nothing(bench: Bench) -> None:
    job, driver = start(bench)
    driver.claim()
    later = second(bench, job, driver)
    assert driver.call("commit", {"sha256": "a" * 64}).status_code == 409
    assert later.claim().json()["accepted"] is None
    assert bench.job(job).commit_sha256 is None


def test_a_lineage_is_the_newest_attempts(bench: Bench) -> None:
    job, driver = start(bench)
    assert driver.claim().json()["lineage"] == []
    two = [{"folder": "000000000020-a1-r1", "commit": "b" * 64}, {"folder": "000000000010-a1", "commit": "a" * 64}]
    assert driver.call("lineage", {"checkpoints": two}).status_code == 200
    later = second(bench, job, driver)
    assert later.claim().json()["lineage"] == two
    assert driver.call("lineage", {"checkpoints": []}).status_code == 409
    assert bench.job(job).lineage == two


@pytest.mark.parametrize("folder", ["../../x", "10-a1", "000000000010-a1/", "000000000010"])
def test_a_lineage_names_checkpoints_alone(bench: Bench, folder: str) -> None:
    _, driver = start(bench)
    driver.claim()
    assert driver.call("lineage", {"checkpoints": [{"folder": folder, "commit": "a" * 64}]}).status_code == 422


def test_events_of_a_driver_are_shown(bench: Bench) -> None:
    job, driver = start(bench)
    driver.claim()
    driver.call("events", {"type": "resumed", "message": "from 500 examples", "data": {"examples": 500}})
    assert "resumed" in bench.events(job)


def test_ticks_are_bounded_and_span_the_whole_run(bench: Bench) -> None:
    _, driver = start(bench)
    driver.claim()
    for begin in range(0, 3000, 500):
        ticks = [
            {**ORDINARY["training"], "time": 1.0, "phase": "training", "examples": n} for n in range(begin, begin + 500)
        ]
        driver.call("ticks", {"ticks": ticks})
    kept = bench.get("/api/v1/jobs/fashion/ticks?limit=5000").json()["ticks"]
    assert 250 < len(kept) <= 1000
    assert kept[0]["examples"] < 20
    assert kept[-1]["examples"] == 2999


def test_not_a_number_becomes_null(bench: Bench) -> None:
    assert wire.finite({"a": [float("nan"), 1.0], "b": float("inf")}) == {"a": [None, 1.0], "b": None}
    _, driver = start(bench)
    driver.claim()
    headers = {"Authorization": f"Bearer {driver.token}", "Content-Type": "application/json"}
    headers |= {wire.HEADER: str(wire.VERSION)}
    tick = {**ORDINARY["training"], "phase": "training", "examples": 1, "stats": {"loss/generator": float("nan")}}
    body = json.dumps({"ticks": [tick]})
    assert "NaN" in body
    assert bench.http.post(f"/api/v1/attempts/{driver.id}/ticks", content=body, headers=headers).status_code == 200
    assert bench.get("/api/v1/jobs/fashion").json()["tick"]["stats"] == {"loss/generator": None}


@pytest.mark.parametrize(
    ("before", "after", "moves"),
    [
        ({"phase": "training", "examples": 1}, {"phase": "training", "examples": 1, "time": 9}, False),
        ({"phase": "training", "examples": 1}, {"phase": "training", "examples": 2}, True),
        ({"phase": "generating", "samples": 1}, {"phase": "generating", "samples": 1, "written_bytes": 5}, True),
        ({"phase": "preparing", "time": 1}, {"phase": "preparing", "time": 2}, True),
        ({"phase": "training", "examples": 1}, {"phase": "uploading", "examples": 1}, True),
    ],
)
def test_what_counts_as_progress(before: dict, after: dict, moves: bool) -> None:
    kind = kinds.GENERATE if before["phase"] == "generating" else kinds.TRAIN
    ordinary = ORDINARY.get(before["phase"], {"progress": {"label": "packing", "done": 1}})
    one, two = ({"time": 1, **ordinary, **tick} for tick in (before, after))
    assert (position(kind, kind.read_tick(one)) != position(kind, kind.read_tick(two))) == moves


def test_a_driver_of_another_version_is_refused_and_both_versions_are_named(bench: Bench) -> None:
    _, driver = start(bench)
    driver.version = wire.VERSION - 1
    answer = driver.claim()
    assert answer.status_code == 426
    said = f"this server speaks wire version {wire.VERSION}, the driver {wire.VERSION - 1}"
    assert said in answer.json()["error"]["message"]
    assert "run the same version of ganworks on both" in answer.json()["error"]["message"]


def test_a_driver_that_says_no_version_is_of_the_first(bench: Bench) -> None:
    _, driver = start(bench)
    answer = bench.post(f"/api/v1/attempts/{driver.id}/claim", {"claim": driver.code, "nonce": "12345678"})
    assert answer.status_code == 426
    assert "the driver 1" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("route", "body", "field"),
    [
        ("events", {"type": "t", "message": "m", "colour": "red"}, "unknown field body.colour"),
        ("ticks", {"ticks": [{**ORDINARY["training"], "phase": "training", "rate": 3.0}]}, "unknown field rate"),
        ("ticks", {"ticks": [{"phase": "training", "examples": 5}]}, "missing field steps"),
        ("ticks", {"ticks": [{**ORDINARY["generating"], "phase": "generating"}]}, "phase"),
        ("result", {"outcome": "succeeded", "data": {"samples": 3}}, "unknown field samples"),
    ],
)
def test_unknown_fields_are_refused_by_name_with_both_versions(
    bench: Bench, route: str, body: dict, field: str
) -> None:
    _, driver = start(bench)
    driver.claim()
    answer = driver.call(route, body)
    assert answer.status_code == 422
    assert field in answer.json()["error"]["message"]
    assert f"wire version {wire.VERSION}, the driver {wire.VERSION}" in answer.json()["error"]["message"]
