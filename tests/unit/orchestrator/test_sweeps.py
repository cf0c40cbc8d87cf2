"""A matrix: a job for each combination, a parent that names the best and stands for it."""

from typing import Any

import pytest
from server_bench import Bench, generate, put_model, train

from orchestrator.policies import sweeps
from orchestrator.states import Status


def sweep(**more: Any) -> dict[str, Any]:
    return train("sweep", matrix={"train.seed": [0, 1], "model.params.base_channels": [8, 16]}, **more)


def run(bench: Bench, results: dict[str, Any]) -> None:
    for _ in range(8):
        for id, entry in list(bench.cluster.entries.items()):
            if not entry.driver.has_ended:
                name = bench.job(id.rpartition("-")[0]).name
                outcome = results[name]
                driver = bench.driver(id)
                if isinstance(outcome, str):
                    driver.result("failed", failure=outcome)
                else:
                    put_model(bench, bench.job(id.rpartition("-")[0]).id)
                    driver.result("succeeded", data=outcome)
        bench.step(2)


def test_every_combination_the_last_field_fastest() -> None:
    children = sweeps.children(
        {"name": "s", "train": {"seed": 9, "group": 4}, "matrix": {"train.seed": [0, 1], "queue": ["a", "b"]}}
    )
    assert [(child["name"], child["train"], child["queue"]) for child in children] == [
        ("s-0", {"seed": 0, "group": 4}, "a"), ("s-1", {"seed": 0, "group": 4}, "b"),
        ("s-2", {"seed": 1, "group": 4}, "a"), ("s-3", {"seed": 1, "group": 4}, "b"),
    ]  # fmt: skip


def test_the_parent_gathers_and_names_the_best(bench: Bench) -> None:
    parent, *children = bench.submit(sweep())
    bench.step()
    assert [bench.job(child).name for child in children] == ["sweep-0", "sweep-1", "sweep-2", "sweep-3"]
    assert bench.job(parent).status == Status.WAITING
    run(
        bench,
        {
            "sweep-0": {"metrics": {"kid": 0.3}},
            "sweep-1": {"metrics": {"kid": 0.1}},
            "sweep-2": "bad_data",
            "sweep-3": {"metrics": {"kid": 0.2}},
        },
    )
    assert bench.job(parent).status == Status.SUCCEEDED
    assert bench.job(parent).reason == "3 of 4 succeeded; the best is sweep-1 (0.1)"
    assert bench.get("/api/v1/jobs/sweep").json()["references"]["best"]["job_name"] == "sweep-1"


def test_what_is_made_from_a_sweep_is_made_from_its_best(bench: Bench) -> None:
    *_, sampled = bench.submit(sweep(), generate(source="sweep"))
    run(bench, {**{f"sweep-{n}": {"metrics": {"fid": float(9 - n)}} for n in range(4)}, "samples": {}})
    best = bench.get("/api/v1/jobs/sweep-3").json()["id"]
    assert best in bench.get(f"/api/v1/jobs/{sampled}").json()["references"]["model"]["uri"]
    assert bench.job(sampled).status == Status.SUCCEEDED


def test_none_succeeds(bench: Bench) -> None:
    parent, *_ = bench.submit(sweep())
    run(bench, {f"sweep-{n}": "bad_data" for n in range(4)})
    assert (bench.job(parent).status, bench.job(parent).failure) == (Status.FAILED, "upstream")
    assert bench.job(parent).reason == "0 of 4 succeeded"


def test_the_same_sweep_again_is_the_same(bench: Bench) -> None:
    parent, first, *_ = bench.submit(sweep())
    bench.step()
    bench.driver(f"{first}-1").result("succeeded")
    assert bench.submit(sweep()) == [parent]


def test_cancel_is_for_all_of_it(bench: Bench) -> None:
    parent, *children = bench.submit(sweep())
    bench.post(f"/api/v1/jobs/{parent}/cancel")
    assert {bench.job(job).status for job in (parent, *children)} == {Status.CANCELLED}


@pytest.mark.parametrize(
    ("document", "path"),
    [
        (train(matrix={"train.seed": []}), "matrix"),
        (train(matrix={"train.seed": list(range(501))}), "matrix"),
        (train(matrix={"name": ["a", "b"]}), "matrix.name"),
        (train(matrix={"train.sed": [1]}), "train.sed"),
        (train(matrix={"train.seed": [0]}, schedule={"cron": "0 * * * *"}), "matrix"),
    ],
)
def test_what_is_wrong_with_a_matrix(bench: Bench, document: dict, path: str) -> None:
    answer = bench.post("/api/v1/jobs", {"documents": [document]})
    assert answer.json()["error"]["problems"][0]["path"] == path
