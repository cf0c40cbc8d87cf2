"""A canary: the secrets of a real `ganworks up` are found nowhere that others can look.

Not in any answer of the API, in logs, metrics, the database or the bucket, nor in Ray's own API, pages and files, nor in the
command lines of processes. The environment of a process is its owner's alone.
"""

import gzip
import json
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path

import httpx
import psutil
import pytest

from jobs import wire
from jobs.store import NotFound
from orchestrator.local import processes
from tests.support import weed
from tests.support.works import TheWorks, _environ

TEXT = """\
kind: train
name: caged
model: {family: dcgan, params: {base_channels: 8}}
data: {source: shapes, resolution: 16}
train: {examples: 200k, batch_size: 64, checkpoint: {every: 4k, keep: 2}, grids: {every: 8k, count: 4}}
resources: {workers: 2}
---
kind: generate
name: caged-samples
model: {from: caged}
samples: 500
output: {samples_per_shard: 250}
"""
RAY_PAGES = (
    "/", "/metrics", "/api/jobs/", "/api/cluster_status", "/api/version", "/nodes?view=summary", "/logical/actors", "/api/train/v2/runs/v1",
    "/api/v0/jobs?detail=1", "/api/v0/actors?detail=1", "/api/v0/tasks?detail=1", "/api/v0/workers?detail=1", "/api/v0/nodes?detail=1",
    "/api/v0/runtime_envs?detail=1", "/api/v0/placement_groups?detail=1", "/api/v0/objects?detail=1", "/api/v0/cluster_events", "/api/v0/tasks/summarize",
    "/api/v0/actors/summarize", "/api/data/datasets/%2A", "/api/serve/applications/", "/api/prometheus_health",
)  # fmt: skip
OWN = ("token", "scrape-token", "ray-token")  # the files that keep them, for their owner alone

Place = tuple[str, bytes]  # what it is, and what it says


def secrets_of(works: TheWorks) -> dict[str, bytes]:
    named = {name: (works.home / name).read_text().strip().encode() for name in OWN}
    return {**named, "the store's key": weed.SECRET.encode()}


def api(works: TheWorks, jobs: list[str]) -> Iterator[Place]:
    """Every GET that the API describes, for each job."""
    headers = {"Authorization": f"Bearer {works.token}"}
    with httpx.Client(base_url=works.record.url, headers=headers, timeout=60) as client:
        described = client.get("/openapi.json").raise_for_status().json()
        for path in [path for path, verbs in described["paths"].items() if "get" in verbs]:
            for job in jobs if "{job}" in path else [""]:
                here = path.format(job=job, name="nightly", file="000000008000.png", attempt_id="none")
                yield f"GET {here}", client.get(here).content
        yield "/openapi.json", json.dumps(described).encode()
        for path in ("/api/v1/jobs/nobody", "/nowhere", "/docs"):
            yield f"GET {path}", client.get(path).content


def ray(works: TheWorks, jobs: list[str]) -> Iterator[Place]:
    headers = {"Authorization": f"Bearer {works.token_path.read_text().strip()}"}
    with httpx.Client(base_url=works.address, headers=headers, timeout=60) as client:
        for page in (*RAY_PAGES, *(f"/api/jobs/{job}-1{more}" for job in jobs for more in ("", "/logs"))):
            yield f"Ray's {page}", client.get(page).content


def command_lines() -> Iterator[Place]:
    for process in psutil.process_iter():
        try:
            yield f"the command line of {process.pid}", "\0".join(process.cmdline()).encode()
        except psutil.Error:
            continue


def files(works: TheWorks) -> Iterator[Place]:
    """Database, logs and records in the home folder, and all that Ray wrote in its own."""
    for folder in (works.home, Path(works.record.folder)):
        for path in folder.rglob("*"):
            if path.is_file() and path.name not in OWN and not path.is_symlink():
                with suppress(FileNotFoundError):  # Ray tidies up meanwhile
                    yield str(path), path.read_bytes()


def bucket(works: TheWorks) -> Iterator[Place]:
    for info in works.store.list(""):
        try:
            content = works.store.get(info.key)
        except NotFound:  # a checkpoint that has had its time
            continue
        yield f"the bucket's {info.key}", gzip.decompress(content) if info.key.endswith(".gz") else content


def command_line_client(works: TheWorks, jobs: list[str]) -> Iterator[Place]:
    for words in (
        ["list", "-o", "json"],
        ["doctor"],
        *(["describe", job, "-o", "json"] for job in jobs),
        ["logs", jobs[0]],
    ):
        done = works.ganworks(*words)
        yield f"ganworks {' '.join(words)}", (done.stdout + done.stderr).encode()


def leaks(secrets: dict[str, bytes], places: Iterator[Place]) -> list[str]:
    return [f"{name} in {what}" for what, said in places for name, secret in secrets.items() if secret in said]


Cage = tuple[TheWorks, list[str], list[str]]


@pytest.fixture(scope="module")
def caged(s3_server: weed.S3Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cage]:
    """A stack of its own, its jobs, and what was found while it trained."""
    works = TheWorks(tmp_path_factory.mktemp("cage"), s3_server)
    works.store_uri = works.env["GANWORKS_STORE"] = f"s3://{weed.BUCKET}/cage"
    works.up()
    folder = tmp_path_factory.mktemp("spec")
    nightly = TEXT.partition("---")[0].replace("caged", "nightly") + 'schedule: {cron: "0 2 1 1 *"}\n'
    assert works.submit(nightly, folder) == []
    jobs = works.submit(TEXT, folder)
    works.wait(jobs[0], lambda job: (job["tick"] or {}).get("examples", 0) >= 10_000)
    yield works, jobs, leaks(secrets_of(works), chain(*everywhere(works, jobs)))
    works.down()


def everywhere(works: TheWorks, jobs: list[str]) -> list[Iterator[Place]]:
    pages = (api, ray, command_line_client)
    return [*(look(works, jobs) for look in pages), files(works), bucket(works), command_lines()]


@pytest.mark.timeout(900)
def test_no_secret_is_found_while_a_job_runs(caged: Cage) -> None:
    _works, _jobs, found = caged
    assert found == []


@pytest.mark.timeout(900)
def test_no_secret_is_found_when_all_is_done(caged: Cage) -> None:
    works, jobs, _ = caged
    for job in jobs:
        assert works.wait_ended(job, within=600)["status"] == "SUCCEEDED", works.story(job)
    works.wait_for(lambda: all(works.job(job)["archived"] for job in jobs))
    assert leaks(secrets_of(works), chain(*everywhere(works, jobs))) == []


def test_what_is_looked_through_holds_what_it_should(caged: Cage) -> None:
    """The play itself can fail: each kind of place says something of the job, and the secrets are used here."""
    works, jobs, _ = caged
    for look in (api, ray, command_line_client):
        assert leaks({"the job": jobs[0].encode()}, look(works, jobs)), look.__name__
    assert leaks({"the job": jobs[0].encode()}, files(works))
    assert leaks({"the job": jobs[0].encode()}, bucket(works))
    assert leaks({"the entry point": b"jobs.run"}, command_lines()) or works.job(jobs[0])["ended"]
    environments = [_environ(process) for process in processes.marked(works.stack)]
    assert any(each.get("AWS_SECRET_ACCESS_KEY") == weed.SECRET for each in environments)


def test_the_code_that_ray_shows_opens_nothing(caged: Cage) -> None:
    works, jobs, _ = caged
    shown = dict(ray(works, jobs))[f"Ray's /api/jobs/{jobs[0]}-1"].decode()
    claim = json.loads(shown)["runtime_env"]["env_vars"]["GANWORKS_CLAIM"]
    body = {"claim": claim, "nonce": "of somebody who looks at Ray's pages"}
    url = f"{works.record.url}/api/v1/attempts/{jobs[0]}-1"
    assert httpx.post(f"{url}/claim", json=body, headers={"Ganworks-Wire": str(wire.VERSION)}).status_code in (409, 410)
    for route in ("heartbeat", "result"):
        answer = httpx.post(f"{url}/{route}", json={}, headers={"Authorization": f"Bearer {claim}"})
        assert answer.status_code == 403
