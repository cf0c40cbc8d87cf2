"""Who used how much, what is told of queues, and records deleted."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from server_bench import TOKEN, Bench, train

from orchestrator import queues
from orchestrator.policies import usage
from orchestrator.scheduler import Node
from orchestrator.settings import from_environment


def test_time_is_useful_or_wasted_by_job_queue_and_user(bench: Bench) -> None:
    bench.cluster.machines = [Node(id="n", cpus=8, gpus=4)]
    bench.sleep(5)
    (job,) = bench.submit(train(resources={"workers": 2}, retry={"backoff": "1s"}))
    bench.step()
    first = bench.driver(f"{job}-1")
    bench.clock.now += 10
    first.result("failed", failure="storage")
    bench.step(6)
    second = bench.driver(f"{job}-2")
    bench.clock.now += 100
    second.result("succeeded")
    expected = {
        "gpu_seconds_useful": 200,
        "gpu_seconds_wasted": 20,
        "cpu_seconds_useful": 200,
        "cpu_seconds_wasted": 20,
    }
    for by, name in (("job", "fashion"), ("queue", "default"), ("user", "ada")):
        (row,) = bench.get(f"/api/v1/usage?by={by}").json()["usage"]
        assert row.pop("name") == name
        assert row == pytest.approx(expected)
    assert bench.get("/api/v1/usage?by=planet").status_code == 422


@settings(deadline=None)
@given(st.floats(0, 1e6), st.floats(0, 1e6), st.floats(0, 1e6), st.floats(60, 1e6))
def test_recent_use_decays_and_adds_up(begin: float, middle: float, end: float, half_life: float) -> None:
    begin, middle, end = sorted((begin, middle, end))
    whole = usage.weight(begin, end, half_life, end)
    parts = usage.weight(begin, middle, half_life, end) + usage.weight(middle, end, half_life, end)
    assert whole == pytest.approx(parts)
    assert 0 <= whole <= 1
    assert usage.weight(begin, end, half_life, end + half_life) == pytest.approx(whole / 2)


def test_queues_tell_what_they_hold_and_who_waits(bench: Bench, tmp_path) -> None:
    file = tmp_path / "queues.yaml"
    file.write_text("queues: {default: {guaranteed: {gpus: 2, cpus: 2}, borrow: {cpus: 0}, weight: 2}}")
    policy = from_environment({"GANWORKS_QUEUES": str(file)}).policy
    chosen = replace(bench.server.settings, policy=policy)
    bench.server.settings = bench.server.supervisor.settings = chosen
    bench.cluster.machines = [Node(id="n", cpus=8)]
    bench.sleep(5)
    bench.submit(train("a", resources={"workers": 2}), train("b", priority=40))
    bench.step()
    answer = bench.get("/api/v1/queues").json()
    (queue,) = answer["queues"]
    assert (queue["name"], queue["used_cpus"], queue["cpus"], queue["running"], queue["waiting"]) == (
        "default",
        2,
        2,
        1,
        1,
    )
    assert answer["waiting"][0]["reason"] == "waiting for 1 CPU in queue default; it holds 2 of 2"
    lines = bench.get("/metrics").text.splitlines()
    assert 'ganworks_queue_used_gpus{queue="default"} 0.0' in lines
    assert 'ganworks_queue_quota_gpus{queue="default"} 2.0' in lines


def test_without_a_file_there_is_one_queue_with_everything() -> None:
    assert list(queues.parse({}).queues) == ["default"]
    with pytest.raises(ValueError, match="cannot be read"):
        from_environment({"GANWORKS_QUEUES": "/nowhere/queues.yaml"})


def test_delete_forgets_the_record_and_keeps_the_data(bench: Bench) -> None:
    def delete(name: str) -> int:
        return bench.http.delete(f"/api/v1/jobs/{name}", headers={"Authorization": f"Bearer {TOKEN}"}).status_code

    (job,) = bench.submit(train())
    bench.step()
    assert delete("fashion") == 409
    events = bench.job(job).layout.events
    bench.driver(f"{job}-1").result("succeeded")
    assert delete("fashion") == 409, "its events are not in the bucket yet"
    bench.step(4)
    assert delete("fashion") == 200
    assert bench.get("/api/v1/jobs/fashion").status_code == 404
    assert bench.server.store.get(events)
