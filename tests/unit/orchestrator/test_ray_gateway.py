"""What the gateway makes of answers that are not as one would wish: proxies' pages, refusals, silence, half a cluster.

A real HTTP server says what a test tells it to; what Ray itself answers is in tests/contract/test_cluster.py.
"""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlparse

import pytest

from orchestrator.cluster import LogPart, Refused, Unreachable
from orchestrator.cluster.ray import RayCluster

NOWHERE = "http://127.0.0.1:9"  # discard: nothing listens
LOG = b"".join(b"line %03d\n" % n for n in range(1000))
Answer = tuple[int, Any] | tuple[int, Any, dict[str, str]]


class Said:
    """Answers each (method, path) as told; `asked` keeps what came."""

    def __init__(self) -> None:
        self.answers: dict[tuple[str, str], Answer | Callable[[dict[str, str]], Answer]] = {}
        self.asked: list[tuple[str, str, dict[str, list[str]]]] = []
        self.bodies: list[Any] = []
        self.headers: list[dict[str, str]] = []
        self.sent = 0  # bytes of bodies
        said = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def answer(self) -> None:
                url = urlparse(self.path)
                said.asked.append((self.command, url.path, parse_qs(url.query)))
                said.headers.append(dict(self.headers))
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                said.bodies.append(json.loads(body) if body else None)
                told = said.answers.get((self.command, url.path), (404, "not found"))
                status, content, *more = told(dict(self.headers)) if callable(told) else told
                data = content if isinstance(content, bytes) else json.dumps(content).encode()
                said.sent += len(data)
                self.send_response(status)
                for name, value in (more[0] if more else {}).items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_DELETE = answer

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def ray() -> Iterator[Said]:
    said = Said()
    yield said
    said.server.shutdown()
    said.server.server_close()


@pytest.fixture
def gateway(ray: Said) -> Iterator[RayCluster]:
    cluster = RayCluster(ray.url, "the token", {"env_vars": {"TEAM": "a"}})
    yield cluster
    cluster.close()


PAGE = b"<html>Please log in</html>"
QUESTIONS = {"nodes": "/api/v0/nodes", "free": "/api/cluster_status", "drivers": "/api/jobs/"}


@pytest.mark.parametrize(
    ("question", "answer"),
    [(question, answer) for question in QUESTIONS for answer in (PAGE, {}, [1], {"data": None}, {"data": {"result": {}}})],
)  # fmt: skip
def test_what_is_no_answer_of_rays_is_ray_not_reached(
    ray: Said, gateway: RayCluster, question: str, answer: Any
) -> None:
    ray.answers["GET", QUESTIONS[question]] = (200, answer)
    if (question, answer) == ("drivers", {}):
        assert gateway.drivers() == {}  # nobody, as a list would say it
        return
    with pytest.raises(Unreachable, match="something else than Ray"):
        getattr(gateway, question)()


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize(
    ("status", "error", "words"),
    [
        (401, Unreachable, "refuses the token"),
        (403, Unreachable, "RAY_AUTH_TOKEN_PATH"),
        (502, Unreachable, "answers 502"),
        (503, Unreachable, "answers 503"),
        (504, Unreachable, "answers 504"),
        (500, Refused, "answers 500: the reason"),
        (404, Refused, "answers 404"),
    ],
)
def test_each_refusal_is_named(
    ray: Said, gateway: RayCluster, question: str, status: int, error: type[Exception], words: str
) -> None:
    ray.answers["GET", QUESTIONS[question]] = (status, b"a traceback\nthe reason\n")
    with pytest.raises(error, match=words):
        getattr(gateway, question)()


def test_the_token_is_shown_and_nothing_else_of_ours(ray: Said, gateway: RayCluster) -> None:
    ray.answers["GET", "/api/jobs/"] = (200, [])
    gateway.drivers()
    assert ray.headers[0]["Authorization"] == "Bearer the token"
    assert "the token" not in ray.asked[0][1]


def test_only_living_nodes_count_and_each_with_what_it_has(ray: Said, gateway: RayCluster) -> None:
    listed = [
        {"node_id": "a", "state": "ALIVE", "resources_total": {"CPU": 4.0, "GPU": 2.0, "memory": 8.0, "accelerator_type:A100": 1.0}},
        {"node_id": "b", "state": "ALIVE", "resources_total": None, "labels": {"ray.io/accelerator-type": "H100", "zone": 7}},
        {"node_id": "c", "state": "DEAD", "resources_total": {"CPU": 4.0}},
    ]  # fmt: skip
    ray.answers["GET", "/api/v0/nodes"] = (200, {"data": {"result": {"result": listed}}})
    first, second = gateway.nodes()
    assert (first.id, first.cpus, first.gpus, first.memory, first.accelerator) == ("a", 4.0, 2.0, 8.0, "A100")
    assert (second.id, second.cpus, second.accelerator, second.labels["zone"]) == ("b", 0.0, "H100", "7")


def test_what_is_free_is_what_nobody_uses(ray: Said, gateway: RayCluster) -> None:
    usage = {"CPU": [1.5, 4.0], "memory": [0, 9]}
    ray.answers["GET", "/api/cluster_status"] = (
        200,
        {"data": {"clusterStatus": {"loadMetricsReport": {"usage": usage}}}},
    )
    assert gateway.free() == {"CPU": 2.5}
    ray.answers["GET", "/api/cluster_status"] = (200, {"data": {"clusterStatus": None}})
    assert gateway.free() == {}


def test_jobs_of_others_without_an_id_are_none_of_ours(ray: Said, gateway: RayCluster) -> None:
    listed = [
        {"submission_id": "a-1", "status": "FAILED", "message": None},
        {"submission_id": None, "status": "RUNNING"},
        {"status": "RUNNING"},
    ]
    ray.answers["GET", "/api/jobs/"] = (200, listed)
    (found,) = gateway.drivers().items()
    assert (found[0], found[1].has_ended, found[1].message) == ("a-1", True, "")


# --- submissions


def submit(gateway: RayCluster) -> None:
    gateway.submit("a-1", "exec true", {"GANWORKS_CLAIM": "code"}, {"job_name": "shirts"})


def test_a_submission_carries_both_environments_and_takes_no_cpu(ray: Said, gateway: RayCluster) -> None:
    ray.answers["POST", "/api/jobs/"] = (200, {})
    submit(gateway)
    (sent,) = ray.bodies
    assert sent["runtime_env"]["env_vars"] == {"TEAM": "a", "GANWORKS_CLAIM": "code"}
    assert (sent["submission_id"], sent["entrypoint_num_cpus"], sent["metadata"]) == ("a-1", 0, {"job_name": "shirts"})
    assert gateway.runtime_env == {"env_vars": {"TEAM": "a"}}, "what is common to all stays as it is"


def test_a_500_is_fine_where_ray_has_the_driver_and_a_refusal_where_it_has_not(ray: Said, gateway: RayCluster) -> None:
    ray.answers["POST", "/api/jobs/"] = (500, b"Job with submission_id a-1 already exists")
    with pytest.raises(Refused, match="already exists"):
        submit(gateway)
    ray.answers["GET", "/api/jobs/a-1"] = (200, {"status": "RUNNING"})
    submit(gateway)


@pytest.mark.parametrize("gone", ["stop", "delete"])
def test_what_is_gone_need_not_be_stopped_or_deleted(ray: Said, gateway: RayCluster, gone: str) -> None:
    getattr(gateway, gone)("a-1")
    verb, path = ("POST", "/api/jobs/a-1/stop") if gone == "stop" else ("DELETE", "/api/jobs/a-1")
    ray.answers[verb, path] = (500, b"not now")
    with pytest.raises(Refused, match="not now"):
        getattr(gateway, gone)("a-1")


# --- logs


def ranged(headers: dict[str, str]) -> Answer:
    """As aiohttp serves a file."""
    start, stop = (int(each) for each in headers["Range"].removeprefix("bytes=").split("-"))
    if start >= len(LOG):
        return 416, b"", {"Content-Range": f"bytes */{len(LOG)}"}
    part = LOG[start : stop + 1]
    return 206, part, {"Content-Range": f"bytes {start}-{start + len(part) - 1}/{len(LOG)}"}


def has_driver(ray: Said, agent: str | None) -> None:
    found = {"status": "RUNNING", "driver_agent_http_address": agent, "driver_node_id": agent and "node"}
    ray.answers["GET", "/api/jobs/a-1"] = (200, found)


AGENTS_FILE = ("GET", "/logs/job-driver-a-1.log")
RANGES = [(0, 9), (100, 900), (len(LOG) - 5, len(LOG) + 5), (len(LOG), len(LOG) + 1), (10**9, 10**9 + 1)]


@pytest.mark.parametrize(("start", "stop"), RANGES)
def test_a_range_of_a_log_costs_that_range(ray: Said, gateway: RayCluster, start: int, stop: int) -> None:
    has_driver(ray, ray.url)
    ray.answers[AGENTS_FILE] = ranged
    assert gateway.read_log("a-1", start, stop) == LogPart(data=LOG[start:stop], size=len(LOG))
    assert ray.sent < (stop - start) + 500
    gateway.read_log("a-1", start, stop)
    assert [path for _, path, _ in ray.asked].count("/api/jobs/a-1") == 1, "where it runs is known by now"


@pytest.mark.parametrize(("start", "stop"), RANGES)
def test_where_the_agent_cannot_be_reached_the_dashboard_tells(
    ray: Said, gateway: RayCluster, start: int, stop: int
) -> None:
    has_driver(ray, NOWHERE)
    ray.answers["GET", "/api/v0/logs/file"] = (200, LOG)
    for _ in range(2):
        assert gateway.read_log("a-1", start, stop) == LogPart(data=LOG[start:stop], size=len(LOG))
    asked = [query for _, path, query in ray.asked if path == "/api/v0/logs/file"]
    assert asked[0] == {"node_id": ["node"], "filename": ["job-driver-a-1.log"], "lines": ["-1"]}


def test_a_driver_that_has_not_begun_has_an_empty_log_and_an_unknown_one_none(ray: Said, gateway: RayCluster) -> None:
    assert gateway.read_log("a-1", 0, 9) is None
    has_driver(ray, None)
    assert gateway.read_log("a-1", 0, 9) == LogPart(data=b"", size=0)
    has_driver(ray, ray.url)
    assert gateway.read_log("a-1", 0, 9) == LogPart(data=b"", size=0)  # its agent has no such file yet
    ray.answers[AGENTS_FILE] = ranged
    assert gateway.read_log("a-1", 0, 9) == LogPart(data=LOG[:9], size=len(LOG))


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ((200, LOG), "answers 200"),
        ((500, b""), "answers 500"),
        ((206, LOG), "answers 206"),
        ((416, b""), "answers 416"),
    ],
)
def test_an_agent_that_serves_no_ranges_is_named_and_not_read(
    ray: Said, gateway: RayCluster, answer: Answer, error: str
) -> None:
    has_driver(ray, ray.url)
    ray.answers[AGENTS_FILE] = answer
    with pytest.raises(Refused, match=error):
        gateway.read_log("a-1", 0, 9)


def test_a_dashboard_that_cannot_tell_is_named(ray: Said, gateway: RayCluster) -> None:
    has_driver(ray, NOWHERE)
    ray.answers["GET", "/api/v0/logs/file"] = (500, b"no such node")
    with pytest.raises(Refused, match="no such node"):
        gateway.read_log("a-1", 0, 9)


def test_who_is_nowhere_is_said_to_be() -> None:
    gateway = RayCluster(NOWHERE)
    for ask in (gateway.nodes, gateway.drivers, lambda: gateway.read_log("a-1", 0, 9), lambda: gateway.stop("a-1")):
        with pytest.raises(Unreachable, match=NOWHERE):
            ask()
    gateway.close()
