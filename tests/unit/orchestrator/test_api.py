"""The user's routes: who may, what is refused and how it is said."""

from typing import Any

import pytest
from fastapi.routing import APIRoute
from server_bench import SCRAPE, TOKEN, Bench, generate, train

from jobs import wire

PUBLIC = {"/healthz", "/readyz"}


def routes(bench: Bench) -> list[tuple[str, str]]:
    def inner(routes: Any) -> Any:
        for route in routes:
            if isinstance(route, APIRoute):
                yield from ((method, route.path) for method in route.methods)
            elif hasattr(route, "original_router"):
                yield from inner(route.original_router.routes)

    found = sorted(set(inner(bench.http.app.routes)))  # type: ignore[attr-defined]
    assert len(found) > 20, found
    return found


BODIES: dict[str, dict[str, Any]] = {  # what passes the first look, by the end of the route
    "jobs": {"documents": []},
    "claim": {"claim": "c", "nonce": "12345678"},
    "ticks": {"ticks": []},
    "events": {"type": "t", "message": "m"},
    "commit": {"sha256": "0" * 64},
    "result": {"outcome": "failed"},
}


def call(bench: Bench, method: str, path: str, token: str | None) -> int:
    headers = {wire.HEADER: str(wire.VERSION)} | ({"Authorization": f"Bearer {token}"} if token else {})
    filled = path.format(job="x", name="x", file="000000000000.png", attempt_id="x-1")
    body = BODIES.get(path.rpartition("/")[2], {})
    return bench.http.request(method, filled, headers=headers, json=body if method == "POST" else None).status_code


def test_every_route_wants_a_token(bench: Bench) -> None:
    for method, path in routes(bench):
        if path in PUBLIC:
            assert call(bench, method, path, None) == 200, path
        else:
            assert call(bench, method, path, None) in (401, 403), path
            assert call(bench, method, path, "a wrong token") in (401, 403), path
            assert call(bench, method, path, TOKEN[:-1]) in (401, 403), path


def test_the_scrape_token_reads_metrics_only(bench: Bench) -> None:
    for method, path in routes(bench):
        if path not in PUBLIC:
            wanted = (200,) if path == "/metrics" else (401, 403)
            assert call(bench, method, path, SCRAPE) in wanted, path


def test_a_drivers_token_opens_its_attempt_only(bench: Bench) -> None:
    first, second = bench.submit(train("a"), train("b"))
    bench.step()
    driver, other = bench.driver(f"{first}-1"), bench.driver(f"{second}-1")
    assert bench.get("/api/v1/jobs", token=driver.token).status_code == 401
    driver.id = other.id
    assert driver.call("heartbeat").status_code == 403


def test_the_same_spec_again_is_the_same_job(bench: Bench) -> None:
    body = {"documents": [train()]}
    first, second = bench.post("/api/v1/jobs", body), bench.post("/api/v1/jobs", body)
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json()["jobs"][0]["id"] == second.json()["jobs"][0]["id"]


def test_another_spec_under_an_unfinished_name_is_refused(bench: Bench) -> None:
    bench.submit(train())
    answer = bench.post("/api/v1/jobs", {"documents": [train(priority=60)]})
    assert answer.status_code == 409
    assert "with another spec" in answer.json()["error"]["message"]


def test_a_finished_name_is_free_again(bench: Bench) -> None:
    (first,) = bench.submit(train())
    bench.post(f"/api/v1/jobs/{first}/cancel")
    (second,) = bench.submit(train())
    assert first != second
    assert bench.get("/api/v1/jobs/fashion").json()["id"] == second


def test_a_key_makes_a_repeated_submission_one(bench: Bench) -> None:
    (first,) = bench.submit(train(), key="nightly")
    bench.post(f"/api/v1/jobs/{first}/cancel")
    assert bench.submit(train(), key="nightly") == [first]
    answer = bench.post("/api/v1/jobs", {"documents": [train("other")], "key": "nightly"})
    assert answer.status_code == 409


def test_all_documents_or_none(bench: Bench) -> None:
    answer = bench.post("/api/v1/jobs", {"documents": [train("good"), train("bad", priority=500)]})
    assert answer.status_code == 422
    assert answer.json()["error"]["problems"][0] | {"message": ""} == {"document": 1, "path": "priority", "message": ""}
    assert bench.get("/api/v1/jobs").json()["jobs"] == []


def test_a_dry_run_writes_nothing(bench: Bench) -> None:
    answer = bench.post("/api/v1/jobs", {"documents": [train(), generate()], "dry_run": True})
    assert answer.status_code == 200
    assert [job["is_new"] for job in answer.json()["jobs"]] == [True, True]
    assert bench.get("/api/v1/jobs").json()["jobs"] == []


PROBLEMS: list[tuple[list[dict[str, Any]], str, str]] = [
    ([], "", "no document"),
    ([{"kind": "paint", "name": "x"}], "kind", "unknown 'paint'"),
    ([train(priorty=1)], "priorty", "unknown field"),
    ([train(), train()], "name", "is the name of document 1 too"),
    ([train(resources={"workers": 4})], "resources", "needs 4 CPUs; the cluster has 2 in all"),
    ([generate()], "model.from", "there is no job 'fashion'"),
    ([train(needs=["nobody"])], "needs", "there is no job 'nobody'"),
    ([train("a", needs=["b"]), train("b", needs=["a"])], "needs", "in a circle"),
    ([train("a", needs=["a"])], "needs", "in a circle"),
]


@pytest.mark.parametrize(("documents", "path", "message"), PROBLEMS)
def test_what_is_refused(bench: Bench, documents: list[dict[str, Any]], path: str, message: str) -> None:
    answer = bench.post("/api/v1/jobs", {"documents": documents})
    assert answer.status_code == 422
    (problem,) = answer.json()["error"]["problems"]
    assert problem["path"] == path
    assert message in problem["message"]


def test_an_upstream_that_never_succeeded_is_refused(bench: Bench) -> None:
    (job,) = bench.submit(train())
    bench.post(f"/api/v1/jobs/{job}/cancel")
    (problem,) = bench.post("/api/v1/jobs", {"documents": [generate()]}).json()["error"]["problems"]
    assert "no job 'fashion' has succeeded in project default; the newest is CANCELLED" in problem["message"]


def test_data_below_the_roots_only(bench: Bench, tmp_path: Any) -> None:
    from dataclasses import replace

    bench.server.settings = replace(bench.server.settings, data_roots=(str(tmp_path),))
    inside = train("a", data={"source": f"{tmp_path}/pictures"})
    outside = train("b", data={"source": f"{tmp_path}/../etc"})
    assert bench.post("/api/v1/jobs", {"documents": [inside], "dry_run": True}).status_code == 200
    assert bench.post("/api/v1/jobs", {"documents": [outside], "dry_run": True}).status_code == 422


def test_unknown_jobs_and_files(bench: Bench) -> None:
    assert bench.get("/api/v1/jobs/nobody").status_code == 404
    (job,) = bench.submit(train())
    assert bench.get(f"/api/v1/jobs/{job}/grids/..%2f..%2ftoken").status_code == 404
    assert bench.get(f"/api/v1/jobs/{job}/grids/000000000001.png").status_code == 404
    assert bench.get(f"/api/v1/jobs/{job}/logs?attempt=9").status_code == 404
    assert bench.get(f"/api/v1/jobs/{job}/logs").json()["text"] == ""


def test_grids(bench: Bench) -> None:
    (job,) = bench.submit(train())
    layout = bench.job(job).layout
    bench.server.store.put(layout.grid(500), b"a picture")
    (grid,) = bench.get(f"/api/v1/jobs/{job}/grids").json()["grids"]
    assert (grid["examples"], grid["file"]) == (500, "000000000500.png")
    assert bench.get(f"/api/v1/jobs/{job}/grids/{grid['file']}").content == b"a picture"


def test_grids_of_a_running_job_are_where_its_newest_attempt_drew_them(bench: Bench) -> None:
    (job,) = bench.submit(train())
    layout = bench.job(job).layout
    for attempt, rollbacks in ((1, 0), (2, 0), (2, 1)):
        bench.server.store.put(layout.drawn_grid(500, attempt, rollbacks), f"{attempt} {rollbacks}".encode())
    (grid,) = bench.get(f"/api/v1/jobs/{job}/grids").json()["grids"]
    assert (grid["examples"], grid["file"]) == (500, "000000000500.png")
    assert bench.get(f"/api/v1/jobs/{job}/grids/{grid['file']}").content == b"2 1"
    bench.server.store.put(layout.grid(500), b"published")
    assert bench.get(f"/api/v1/jobs/{job}/grids/{grid['file']}").content == b"published"


def test_lists_are_narrowed(bench: Bench) -> None:
    a, b = bench.submit(train("a"), train("b"))
    bench.post(f"/api/v1/jobs/{a}/cancel")

    def names(query: str) -> list[str]:
        return [job["name"] for job in bench.get(f"/api/v1/jobs?{query}").json()["jobs"]]

    assert names("") == ["b", "a"]
    assert names("status=cancelled") == ["a"]
    assert names("status=queued,cancelled&limit=1") == ["b"]
    assert names("name=b&kind=train") == ["b"]
    assert names("kind=generate") == []
    assert b


def test_history_goes_on_from_what_the_reader_has(bench: Bench) -> None:
    (job,) = bench.submit(train())
    bench.step()
    driver = bench.driver(f"{job}-1")
    driver.tick(phase="training", examples=1)
    driver.tick(phase="training", examples=2)
    first, second = bench.get(f"/api/v1/jobs/{job}/ticks").json()["ticks"]
    assert (first["examples"], second["examples"]) == (1, 2)
    assert bench.get(f"/api/v1/jobs/{job}/ticks?after={first['seq']}").json()["ticks"] == [second]
    events = bench.get(f"/api/v1/jobs/{job}/events?after=1").json()["events"]
    assert events[0]["type"] == "started"


def test_what_the_server_knows(bench: Bench) -> None:
    assert bench.get("/api/v1/version").json()["version"]
    assert "dcgan" in bench.get("/api/v1/families").json()["families"]
    assert bench.get("/api/v1/schema").json()["title"] == "ganworks job"
    bench.submit(train(resources={"workers": 2}))
    bench.step()
    cluster = bench.get("/api/v1/cluster").json()
    assert cluster["cpus"] == {"total": 2, "held": 2}
    assert cluster["nodes"] == [{"id": "node-1", "labels": {}, "cpus": 2, "free_cpus": 0, "gpus": 0, "free_gpus": 0}]
    assert bench.get("/openapi.json").json()["info"]["title"] == "ganworks"


def test_ready_and_not(bench: Bench) -> None:
    assert bench.http.get("/readyz").json() == {"database": True, "supervisor": True, "ray": True}
    bench.clock.now += 100
    assert bench.http.get("/readyz").status_code == 503


def test_a_request_too_large_is_refused(bench: Bench) -> None:
    body = b"x" * ((16 << 20) + 1)
    answer = bench.http.post("/api/v1/jobs", content=body, headers={"Authorization": f"Bearer {TOKEN}"})
    assert answer.status_code == 413


def test_our_own_mistakes_show_no_traceback(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench.server.store, "list", lambda prefix: 1 / 0)
    bench.submit(train())
    answer = bench.get("/api/v1/jobs/fashion/grids")
    assert answer.status_code == 500
    assert answer.json() == {"error": {"message": "the server made a mistake; its log has more"}}
