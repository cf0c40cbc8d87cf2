"""What Prometheus sees, read back by its own parser."""

import shutil
import subprocess
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from server_bench import SCRAPE, Bench, generate, put_model, train

TICK: dict[str, Any] = {
    "phase": "training",
    "examples": 500,
    "steps": 5,
    "total_examples": 1000,
    "seconds": 5.0,
    "examples_per_second": 100.0,
    "eta": 5.0,
    "stats": {"loss/discriminator": 0.7, "grad_norm/generator": 1.5, "lr/generator": 0.0002, "rollbacks": 1},
    "findings": [{"name": "oscillation", "message": "", "evidence": {}}],
    "activity_seconds": {"data": 1.0, "discriminator": 2.0},
    "checkpoint_stall_seconds": 0.25,
    "checkpoint_size_bytes": 4096,
    "checkpoint_committed_at": 1_800_000_000.0,
}


def scrape(bench: Bench) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    answer = bench.get("/metrics", token=SCRAPE)
    assert answer.status_code == 200
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for family in text_string_to_metric_families(answer.text):
        for sample in family.samples:
            labels = {k: v for k, v in sample.labels.items() if k not in ("project", "job_id")}
            found.setdefault(sample.name.removeprefix("ganworks_"), {})[tuple(sorted(labels.items()))] = sample.value
    return found


def of(**labels: str) -> tuple[tuple[str, str], ...]:
    return tuple(sorted({"job_name": "fashion", **labels}.items()))


def test_the_series_of_a_training_job(bench: Bench) -> None:
    (job,) = bench.submit(train(resources={"workers": 2}))
    bench.step()
    bench.driver(f"{job}-1").tick(**TICK)
    seen = scrape(bench)
    assert seen["job_info"] == {of(kind="train", family="dcgan", queue="default", owner="ada"): 1}
    assert seen["job_progress_ratio"] == {of(): 0.5}
    assert seen["job_workers"] == {of(): 2}
    assert seen["job_last_tick_timestamp_seconds"] == {of(): bench.clock.now}
    assert seen["job_expected_end_timestamp_seconds"] == {of(): bench.clock.now + 5}
    assert seen["train_examples_total"] == {of(): 500}
    assert seen["train_steps_total"] == {of(): 5}
    assert seen["train_seconds_total"] == {of(activity="data"): 1, of(activity="discriminator"): 2}
    assert seen["train_loss"] == {of(phase="discriminator"): 0.7}
    assert seen["train_gradient_norm"] == {of(network="generator"): 1.5}
    assert seen["train_learning_rate"] == {of(network="generator"): 0.0002}
    assert seen["train_rollbacks_total"] == {of(): 1}
    assert seen["health_finding_active"] == {of(finding="oscillation"): 1}
    assert seen["checkpoint_last_commit_timestamp_seconds"] == {of(): 1_800_000_000}
    assert seen["checkpoint_size_bytes"] == {of(): 4096}
    assert seen["checkpoint_stall_seconds_total"] == {of(): 0.25}
    assert seen["cluster_cpus"] == {(("state", "held"),): 2, (("state", "free"),): 0}


def test_times_add_up_over_ticks_and_attempts(bench: Bench) -> None:
    (job,) = bench.submit(train(retry={"backoff": "1s"}))
    bench.step()
    driver = bench.driver(f"{job}-1")
    driver.tick(phase="preparing", progress={"label": "packing", "done": 1})  # tells no times
    driver.tick(**TICK)
    driver.tick(**TICK)  # the same at the same time: a batch that came again
    bench.clock.now += 1
    driver.tick(**TICK)
    driver.dies()
    bench.step(16)
    bench.driver(f"{job}-2").tick(**TICK)
    seen = scrape(bench)
    assert seen["train_seconds_total"] == {of(activity="data"): 3, of(activity="discriminator"): 6}
    assert seen["checkpoint_stall_seconds_total"] == {of(): 0.75}
    assert len(bench.get(f"/api/v1/jobs/{job}/ticks").json()["ticks"]) == 4


def test_the_series_of_a_generating_job(bench: Bench) -> None:
    trained, sampled = bench.submit(train(), generate())
    bench.step()
    put_model(bench, trained)
    bench.driver(f"{trained}-1").result("succeeded")
    bench.step(3)
    tick = {
        "phase": "generating",
        "samples": 40,
        "total_samples": 100,
        "written_bytes": 9000,
        "shards": {"total": 5, "done": 2, "missing": 3},
    }
    bench.driver(f"{sampled}-1").tick(**tick, busy_seconds={"encode": 1.5})
    seen = scrape(bench)
    name = {"job_name": "samples"}
    assert seen["generate_samples_total"] == {of(**name): 40}
    assert seen["generate_written_bytes_total"] == {of(**name): 9000}
    assert seen["generate_busy_seconds_total"] == {of(**name, stage="encode"): 1.5}
    assert seen["generate_shards"] == {of(**name, state="done"): 2, of(**name, state="missing"): 3}
    assert "train_examples_total" not in seen


def test_series_end_with_the_job_and_counters_stay(bench: Bench) -> None:
    (job,) = bench.submit(train())
    bench.step()
    driver = bench.driver(f"{job}-1")
    driver.tick(**TICK)
    bench.clock.now += 8
    driver.result("succeeded")
    seen = scrape(bench)
    assert not [name for name in seen if name.startswith(("train_", "job_info", "job_progress"))]
    done = {"kind": "train", "queue": "default", "status": "SUCCEEDED", "failure": ""}
    assert seen["jobs_finished_total"] == {tuple(sorted(done.items())): 1}
    assert seen["attempts_total"] == {(("failure", ""), ("kind", "train"), ("outcome", "succeeded")): 1}
    assert seen["cpu_seconds_total"] == {(("queue", "default"), ("use", "useful")): 8}
    buckets = seen["job_run_duration_seconds_bucket"]
    assert buckets[(("kind", "train"), ("le", "10.0"), ("queue", "default"))] == 1
    assert buckets[(("kind", "train"), ("le", "+Inf"), ("queue", "default"))] == 1
    assert seen["job_run_duration_seconds_sum"] == {(("kind", "train"), ("queue", "default")): 8}


def test_recovery_is_measured_by_cause(bench: Bench) -> None:
    (job,) = bench.submit(train(retry={"backoff": "1s"}))
    bench.step()
    bench.driver(f"{job}-1").dies()
    bench.step(16)
    bench.driver(f"{job}-2")
    assert scrape(bench)["recovery_duration_seconds_count"] == {(("cause", "lost"),): 1}


def test_the_number_of_series_does_not_grow_with_history(bench: Bench) -> None:
    sizes = []
    for _ in range(3):
        for n in range(5):
            (job,) = bench.submit(train(f"job-{n}"))
            bench.post(f"/api/v1/jobs/{job}/cancel")
        sizes.append(sum(map(len, scrape(bench).values())))
    assert sizes[1] == sizes[2]


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_promtool_has_nothing_to_say(bench: Bench) -> None:
    trained, sampled = bench.submit(train(), generate())
    bench.step()
    put_model(bench, trained)
    driver = bench.driver(f"{trained}-1")
    driver.tick(**TICK)
    pages = [bench.get("/metrics").text]
    driver.result("succeeded")
    bench.step(3)
    bench.driver(f"{sampled}-1").tick(phase="generating", samples=5, total_samples=100, written_bytes=1)
    pages.append(bench.get("/metrics").text)
    for page in pages:
        checked = subprocess.run(["promtool", "check", "metrics"], input=page, capture_output=True, text=True)
        assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


def test_routes_are_patterns_not_paths(bench: Bench) -> None:
    bench.get("/api/v1/jobs/somebody")
    bench.get("/nowhere/at/all")
    routes = {dict(labels)["route"] for labels in scrape(bench)["http_request_duration_seconds_count"]}
    assert "/api/v1/jobs/{job}" in routes
    assert not any("somebody" in route or "nowhere" in route for route in routes)
