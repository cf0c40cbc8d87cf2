"""What becomes of firings: one job each, ever, by the schedule's policy; pipelines once for each firing."""

from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from server_bench import BEGIN, TOKEN, Bench, generate, put_model, restarted, train

from orchestrator.states import Status

HOUR = 3600.0  # BEGIN is eight o'clock sharp, UTC


def nightly(name: str = "fashion", cron: str = "0 * * * *", document: dict[str, Any] | None = None, **more: Any) -> Any:
    return {**(document or train(name)), "schedule": {"cron": cron, **more}}


def runs_of(bench: Bench, name: str = "fashion") -> list[Any]:
    return [job for job in bench.get("/api/v1/jobs?limit=1000").json()["jobs"] if job["name"] == name][::-1]


def firings(bench: Bench, name: str = "fashion") -> list[tuple[float, str]]:
    """(hours since the beginning, outcome), the oldest first."""
    answer = bench.get(f"/api/v1/schedules/{name}/history?all=true").json()
    return [((firing["scheduled_time"] - BEGIN) / HOUR, firing["outcome"]) for firing in answer["firings"]][::-1]


def until(bench: Bench, hours: float, seconds: float = 20) -> None:
    """Time goes by in steps as after a nap of the loop."""
    while bench.clock.now < BEGIN + hours * HOUR:
        bench.clock.now = min(bench.clock.now + seconds, BEGIN + hours * HOUR)
        bench.server.supervisor.step()


def finish(bench: Bench, outcome: str = "succeeded") -> None:
    for id, entry in list(bench.cluster.entries.items()):
        if not entry.driver.has_ended:
            bench.driver(id).result(outcome, **({"failure": "bad_data"} if outcome == "failed" else {}))
    bench.step(2)


def test_a_submission_with_a_schedule_makes_a_schedule(bench: Bench) -> None:
    answer = bench.post("/api/v1/jobs", {"documents": [nightly()]})
    assert (answer.status_code, answer.json()["jobs"]) == (201, [])
    (schedule,) = answer.json()["schedules"]
    assert (schedule["version"], schedule["next_at"], schedule["jobs"]) == (1, BEGIN + HOUR, ["fashion"])
    assert runs_of(bench) == []


def test_each_tick_makes_one_job_of_that_name(bench: Bench) -> None:
    bench.submit(nightly())
    until(bench, 1, 600)
    (job,) = runs_of(bench)
    assert (job["scheduled_time"], job["schedule"], job["status"]) == (BEGIN + HOUR, "fashion", "STARTING")
    finish(bench)
    until(bench, 2, 600)
    assert [job["scheduled_time"] for job in runs_of(bench)] == [BEGIN + HOUR, BEGIN + 2 * HOUR]


def test_a_resubmission_updates_it_with_a_version_in_its_events(bench: Bench) -> None:
    bench.submit(nightly())
    assert bench.post("/api/v1/jobs", {"documents": [nightly()]}).status_code == 200
    bench.submit(nightly(cron="30 * * * *"))
    schedule = bench.get("/api/v1/schedules/fashion").json()
    assert (schedule["version"], schedule["cron"], schedule["next_at"]) == (2, "30 * * * *", BEGIN + HOUR / 2)
    assert [(event["type"], event["data"]["version"]) for event in schedule["events"]] == [
        ("created", 1),
        ("updated", 2),
    ]


def test_other_times_do_not_run_what_they_would_have_run_before(bench: Bench) -> None:
    bench.submit(nightly(cron="0 0 * * *"))
    bench.clock.now += 5 * HOUR
    bench.submit(nightly(cron="*/10 * * * *", catch_up="all"))
    bench.step()
    assert runs_of(bench) == []


@pytest.mark.parametrize(
    ("policy", "outcomes", "jobs"),
    [
        ({"concurrency": "forbid"}, ["started", "skipped"], 1),
        ({"concurrency": "allow"}, ["started", "started"], 2),
        ({"concurrency": "replace"}, ["started", "replaced"], 2),
        ({"concurrency": "forbid", "catch_up": "all"}, ["started"], 1),
    ],
)
def test_concurrency(bench: Bench, policy: dict, outcomes: list[str], jobs: int) -> None:
    bench.submit(nightly(**policy))
    until(bench, 1, 600)
    bench.driver(f"{runs_of(bench)[0]['id']}-1")
    bench.clock.now = BEGIN + 2 * HOUR
    bench.server.supervisor.step()
    assert [outcome for _, outcome in firings(bench)] == outcomes
    assert len(runs_of(bench)) == jobs


def test_a_replaced_job_ends_before_its_successor_starts(bench: Bench) -> None:
    bench.submit(nightly(concurrency="replace"))
    until(bench, 1, 600)
    old = bench.driver(f"{runs_of(bench)[0]['id']}-1")
    bench.clock.now = BEGIN + 2 * HOUR
    bench.server.supervisor.step()
    assert old.heartbeat() == "cancel"
    first, second = runs_of(bench)
    assert (first["status"], second["status"]) == ("STOPPING", "WAITING")
    assert first["reason"] == f"replaced by {second['id']}"
    old.result("cancelled")
    bench.step(3)
    assert [job["status"] for job in runs_of(bench)] == ["CANCELLED", "STARTING"]


def test_forbid_with_all_makes_every_tick_wait_its_turn(bench: Bench) -> None:
    bench.submit(nightly(catch_up="all"))
    until(bench, 1, 600)
    until(bench, 3.5, 600)
    assert "waits for" in bench.get("/api/v1/schedules/fashion").json()["reason"]
    for made in (1, 2, 3):
        assert len(runs_of(bench)) == made
        finish(bench)
    assert firings(bench) == [(1, "started"), (2, "started"), (3, "started")]


@pytest.mark.parametrize(
    ("catch_up", "outcomes"),
    [
        ("none", ["missed", "missed", "missed"]),
        ("latest", ["missed", "missed", "started"]),
        ("all", ["started", "started", "started"]),
    ],
)
def test_an_outage_over_several_ticks(bench: Bench, catch_up: str, outcomes: list[str]) -> None:
    bench.submit(nightly(catch_up=catch_up, concurrency="allow"))
    restarted(bench, away=3.5 * HOUR)
    bench.step(3)
    assert firings(bench) == [(1, outcomes[0]), (2, outcomes[1]), (3, outcomes[2])]
    assert len(runs_of(bench)) == outcomes.count("started")


def test_the_starting_deadline(bench: Bench) -> None:
    bench.submit(nightly(starting_deadline="10m"))
    restarted(bench, away=1.5 * HOUR)
    bench.step()
    (firing,) = bench.get("/api/v1/schedules/fashion/history").json()["firings"]
    assert firing["outcome"] == "missed"
    assert "starting_deadline is 600 s" in firing["reason"]


def test_a_clock_that_steps_back_and_forth_runs_no_tick_twice(bench: Bench) -> None:
    bench.submit(nightly(concurrency="allow", catch_up="all"))
    for now in (1.1, 0.5, 1.2, 2.3, 0.2, 1.05, 2.5):
        bench.clock.now = BEGIN + now * HOUR
        bench.server.supervisor.step()
    assert firings(bench) == [(1, "started"), (2, "started")]
    assert [job["scheduled_time"] for job in runs_of(bench)] == [BEGIN + HOUR, BEGIN + 2 * HOUR]


def test_a_clock_far_in_the_future_does_not_silence_it_once_it_is_right(bench: Bench) -> None:
    bench.submit(nightly(concurrency="allow"))
    bench.clock.now = BEGIN + 400 * 24 * HOUR
    bench.server.supervisor.step()
    bench.clock.now = BEGIN + 0.5 * HOUR
    bench.server.supervisor.step()
    until(bench, 1, 600)
    assert firings(bench)[0] == (1, "started")


def test_suspended_it_does_not_tick_and_resumed_it_catches_nothing_up(bench: Bench) -> None:
    bench.submit(nightly(catch_up="all"))
    assert bench.post("/api/v1/schedules/fashion/suspend").json()["suspended"]
    until(bench, 2.5, 600)
    schedule = bench.post("/api/v1/schedules/fashion/resume").json()
    assert (schedule["suspended"], schedule["next_at"]) == (False, BEGIN + 3 * HOUR)
    bench.step()
    assert firings(bench) == []
    until(bench, 3, 600)
    assert firings(bench) == [(3, "started")]


def test_suspend_in_the_spec(bench: Bench) -> None:
    bench.submit(nightly(suspend=True))
    until(bench, 1.5, 600)
    assert firings(bench) == []
    bench.submit(nightly(suspend=False))
    until(bench, 2, 600)
    assert firings(bench) == [(2, "started")]


def test_trigger_is_a_tick_out_of_turn(bench: Bench) -> None:
    bench.submit(nightly())
    answer = bench.post("/api/v1/schedules/fashion/trigger")
    assert (answer.status_code, answer.json()["schedule"]) == (201, "fashion")
    again = bench.post("/api/v1/schedules/fashion/trigger")
    assert again.status_code == 409
    assert "still runs, and the concurrency of schedule fashion is forbid" in again.json()["error"]["message"]


def test_deleted_and_made_again_it_repeats_no_tick(bench: Bench) -> None:
    bench.submit(nightly(concurrency="allow"))
    until(bench, 1.1, 600)
    deleted = bench.http.delete("/api/v1/schedules/fashion", headers={"Authorization": f"Bearer {TOKEN}"})
    assert deleted.status_code == 200
    assert bench.get("/api/v1/schedules/fashion").status_code == 404
    bench.clock.now = BEGIN + 0.9 * HOUR
    bench.submit(nightly(concurrency="allow"))
    until(bench, 2, 600)
    assert firings(bench) == [(1, "started"), (2, "started")]
    assert len(runs_of(bench)) == 2


def test_coming_ticks_are_told_with_their_jitter(bench: Bench) -> None:
    bench.submit(nightly(cron="0 2 * * *", time_zone="Asia/Tokyo", jitter="5m"))
    first, second = bench.get("/api/v1/schedules/fashion/next?count=2").json()["firings"]
    assert first["text"] == "2027-01-16T02:00:00+09:00"
    assert second["scheduled_time"] - first["scheduled_time"] == 24 * HOUR
    assert 0 <= first["at"] - first["scheduled_time"] < 300
    assert first["at"] != first["scheduled_time"]


def test_the_scheduled_time_stands_in_the_spec(bench: Bench) -> None:
    document = {**train(), "labels": {"night": "of-${scheduled_time}"}}
    bench.submit(nightly(document=document, time_zone="Asia/Tokyo"))
    until(bench, 1, 600)
    assert runs_of(bench)[0]["labels"] == {"night": "of-2027-01-15T18:00:00+09:00"}


def test_without_a_schedule_there_is_no_scheduled_time(bench: Bench) -> None:
    answer = bench.post("/api/v1/jobs", {"documents": [train(labels={"night": "${scheduled_time}"})]})
    (problem,) = answer.json()["error"]["problems"]
    assert (problem["path"], answer.status_code) == ("labels.night", 422)


def test_run_once_runs_a_schedule_now_and_goes_on_with_it(bench: Bench) -> None:
    documents = [nightly(document={**train(), "labels": {"night": "${scheduled_time}"}}), generate()]
    first = bench.submit(*documents, once=True)
    assert bench.get("/api/v1/schedules").json() == {"schedules": []}
    assert runs_of(bench)[0]["labels"]["night"].startswith("2027-01-15T08:00:0")
    bench.step()
    assert bench.submit(*documents, once=True) == first


def test_what_depends_on_a_scheduled_job_runs_once_for_each_tick(bench: Bench) -> None:
    answer = bench.post("/api/v1/jobs", {"documents": [nightly(), generate(), train("report", needs=["samples"])]})
    assert answer.json()["jobs"] == []
    assert answer.json()["schedules"][0]["jobs"] == ["fashion", "samples", "report"]
    for hour in (1, 2):
        until(bench, hour, 600)
        bench.step()
        trained, sampled, reported = (runs_of(bench, name)[-1] for name in ("fashion", "samples", "report"))
        put_model(bench, trained["id"])
        for _ in range(3):
            finish(bench)
        assert bench.job(sampled["id"]).status == Status.SUCCEEDED
        assert bench.job(reported["id"]).status == Status.SUCCEEDED
        needs = bench.get(f"/api/v1/jobs/{sampled['id']}").json()["needs"]
        assert [need["id"] for need in needs] == [trained["id"]]
    assert [len(runs_of(bench, name)) for name in ("fashion", "samples", "report")] == [2, 2, 2]


def test_a_follower_by_name_across_files(bench: Bench) -> None:
    bench.submit(nightly())
    answer = bench.post("/api/v1/jobs", {"documents": [generate()]})
    assert answer.json()["schedules"][0]["jobs"] == ["fashion", "samples"]
    bench.submit(nightly(catch_up="all"))
    assert bench.get("/api/v1/schedules/fashion").json()["jobs"] == ["fashion", "samples"], "it still follows"
    until(bench, 1, 600)
    assert runs_of(bench, "samples")[0]["status"] == "WAITING"


def test_a_tick_that_is_refused_is_skipped_with_its_reason(bench: Bench) -> None:
    (job,) = bench.submit(train("base"))
    bench.submit(nightly(document=train("after", needs=["base"])))
    bench.post(f"/api/v1/jobs/{job}/cancel")
    until(bench, 1, 600)
    (firing,) = bench.get("/api/v1/schedules/after/history").json()["firings"]
    assert firing["outcome"] == "skipped"
    assert "refused: needs: no job 'base' has succeeded" in firing["reason"]


def test_history_keeps_to_its_limits(bench: Bench) -> None:
    bench.submit(nightly(history={"succeeded": 1, "failed": 1}))
    for hour, outcome in enumerate(["succeeded", "failed", "succeeded", "failed", "succeeded"], 1):
        until(bench, hour, 600)
        finish(bench, outcome)
    shown = bench.get("/api/v1/schedules/fashion/history").json()["firings"]
    assert [((firing["scheduled_time"] - BEGIN) / HOUR, firing["status"]) for firing in shown] == [
        (5, "SUCCEEDED"),
        (4, "FAILED"),
    ]
    assert len(firings(bench)) == 5


def test_a_bad_schedule_is_refused(bench: Bench) -> None:
    answer = bench.post("/api/v1/jobs", {"documents": [nightly(cron="0 2 * *", time_zone="Mars/Base")]})
    (problem,) = answer.json()["error"]["problems"]
    assert (problem["path"], problem["message"][:23]) == ("schedule.cron", "five fields are expecte")


def test_the_series_of_schedules(bench: Bench) -> None:
    bench.submit(nightly())
    until(bench, 1, 600)
    finish(bench)
    seen = {
        sample.name.removeprefix("ganworks_"): sample.value
        for family in text_string_to_metric_families(bench.get("/metrics").text)
        for sample in family.samples
        if sample.name.startswith("ganworks_schedule_")
    }
    assert seen["schedule_next_timestamp_seconds"] == BEGIN + 2 * HOUR
    assert seen["schedule_last_timestamp_seconds"] == BEGIN + HOUR
    assert seen["schedule_last_success_timestamp_seconds"] >= BEGIN + HOUR
    assert seen["schedule_suspended"] == 0
    assert seen["schedule_ticks_total"] == 1
    assert seen["schedule_lateness_seconds_count"] == 1
