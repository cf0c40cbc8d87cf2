"""No input gives a 5xx: valid specs with something wrong in them, and strange words in every query.

GANWORKS_CASES: how many specs (`make soak` has 20,000).
"""

import copy
import json
import os
import random
from collections.abc import Iterator
from typing import Any

import pytest
from server_bench import TOKEN, Bench, generate, train

CASES = int(os.environ.get("GANWORKS_CASES", "500"))
AUTHORIZED = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}

WHOLE = [
    train(
        params={"n": 1, "f": 1.5},
        labels={"team": "a"},
        train={"examples": "50k", "batch_size": 64, "seed": 1, "checkpoint": {"every": "10k", "keep": 2}},
        resources={"workers": {"min": 1, "max": 2}, "cpus_per_worker": 0.5, "memory_per_worker": "1GiB"},
        retry={"limit": 2, "backoff": "1s", "rules": [{"log": "out of memory", "action": "retry"}]},
        timeout="2h",
        needs=[],
    ),
    train("sweep", matrix={"train.seed": [0, 1], "priority": [1, 2]}),
    train("nightly", schedule={"cron": "0 2 * * *", "time_zone": "Asia/Tokyo", "jitter": "5m", "catch_up": "all"}),
    {**generate(), "model": {"uri": "/store/a/b/model"}, "sampling": {"seed": 3, "classes": [0, 1], "truncation": 0.7}},
]
STRANGE: list[Any] = [
    None, True, "", "x", "\ud800", "a\0b", "../..", "9" * 400, "1e999", [], [1], [[]], {}, {"a": 1}, {"": {}}, -1, 0, 0.5, 10**20, 10**400,
    -(2**63), 2**63 - 1, 1e308, float("nan"), float("inf"), "${params.n}", "${scheduled_time}", "*/0 * * * *", "0 0 31 2 *", "x" * 70_000,
    "9999999999999999999k", "30000000", "(\\w+\\s?)+\\$", ["a"] * 2000, {"min": 1, "max": 30_000_000}, 30_000_000, 1_000_000_000_039,
    {"\ud800": 1}, [None], "٣", "١s", "s3://bucket/a/../b",
]  # fmt: skip


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield at
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        yield from places(each, (*at, key))


def mutated(chance: random.Random) -> Any:
    document: Any = copy.deepcopy(chance.choice(WHOLE))
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        at = chance.choice(list(places(document)))
        if not at:
            continue
        parent = document
        for step in at[:-1]:
            parent = parent[step]
        match chance.choice(("put", "put", "put", "drop", "add", "swap")):
            case "put":
                parent[at[-1]] = copy.deepcopy(chance.choice(STRANGE))
            case "drop":
                del parent[at[-1]]
            case "add" if isinstance(parent, dict):
                words = (
                    "kind",
                    "name",
                    "matrix",
                    "schedule",
                    "needs",
                    "from",
                    "source",
                    "a",
                    "model",
                    "group",
                    "code",
                    "ttl",
                )
                parent[chance.choice(words)] = copy.deepcopy(chance.choice(STRANGE))
            case _:
                parent[at[-1]] = copy.deepcopy(chance.choice(WHOLE))
    return document


def send(bench: Bench, body: Any, path: str = "/api/v1/jobs") -> Any:
    return bench.http.post(path, content=json.dumps(body), headers=AUTHORIZED)


@pytest.mark.timeout(max(1200, CASES))
def test_no_spec_gives_a_5xx(bench: Bench) -> None:
    chance = random.Random(7)
    for n in range(CASES):
        document = mutated(chance)
        more = chance.choice(({"dry_run": True}, {"dry_run": True}, {}, {"once": True}))
        answer = send(bench, {"documents": [document], **more})
        assert answer.status_code < 500, (n, document, answer.text)
        if answer.status_code == 201:
            for job in answer.json()["jobs"]:
                bench.post(f"/api/v1/jobs/{job['id']}/cancel")
        if n % 100 == 99:
            bench.step()


@pytest.mark.parametrize(
    "body", [*STRANGE, {"documents": [{"kind": []}]}, {"documents": [{}]}, {"documents": {}}, {"key": "\ud800"}]
)
def test_no_body_gives_a_5xx(bench: Bench, body: Any) -> None:
    (job,) = bench.submit(train())
    bench.step()
    driver = bench.driver(f"{job}-1")
    whole = {"documents": [train("other")], "source": body, "key": body}
    assert send(bench, body).status_code < 500
    assert send(bench, whole).status_code < 500
    assert send(bench, {"documents": body}).status_code < 500
    headers = {**AUTHORIZED, "Authorization": f"Bearer {driver.token}", "Ganworks-Wire": str(driver.version)}
    for route in ("claim", "heartbeat", "ticks", "events", "commit", "result"):
        shapes = (
            body,
            {"ticks": [body]},
            {"type": body, "message": body, "data": {"a": body}},
            {"claim": body, "nonce": body},
        )
        for sent in (*shapes, {"outcome": "failed", "failure": body, "message": body, "log": body}):
            path = f"/api/v1/attempts/{driver.id}/{route}"
            answer = bench.http.post(path, content=json.dumps(sent), headers=headers)
            assert answer.status_code < 500, (route, sent, answer.text)


WORDS = (
    "",
    "x",
    "-1",
    "0",
    "10000000000000000000000",
    "9" * 400,
    "nan",
    "inf",
    "1e999",
    "%ED%A0%80",
    "%00",
    "a,b",
    "null",
    "[]",
    "٣",
)


def test_no_query_and_no_path_gives_a_5xx(bench: Bench) -> None:
    (job,) = bench.submit(train())
    bench.submit(train("nightly", schedule={"cron": "0 2 * * *"}))
    paths = [
        "/api/v1/jobs?status={}", "/api/v1/jobs?name={}", "/api/v1/jobs?kind={}", "/api/v1/jobs?limit={}", "/api/v1/jobs/{}",
        f"/api/v1/jobs/{job}/events?after={{}}", f"/api/v1/jobs/{job}/events?limit={{}}", f"/api/v1/jobs/{job}/ticks?after={{}}",
        f"/api/v1/jobs/{job}/logs?attempt={{}}", f"/api/v1/jobs/{job}/logs?offset={{}}", f"/api/v1/jobs/{job}/logs?limit={{}}",
        f"/api/v1/jobs/{job}/grids/{{}}", "/api/v1/jobs/{}/grids", "/api/v1/usage?days={}", "/api/v1/usage?by={}",
        "/api/v1/schedules/{}", "/api/v1/schedules/{}/history", "/api/v1/schedules/nightly/next?count={}", "/api/v1/schedules/{}/next",
        "/api/v1/schedules/nightly/history?all={}", "/api/v1/attempts/{}/heartbeat",
    ]  # fmt: skip
    for path in paths:
        for word in WORDS:
            answer = bench.get(path.format(word))
            assert answer.status_code < 500, (path, word, answer.text)
    assert bench.get(f"/api/v1/jobs/{job}/events?after={10**20}").status_code == 422
