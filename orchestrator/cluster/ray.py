"""The gateway to Ray, by HTTP alone: an attached process would be ended with Ray's head.

`protocol.py` is what the supervisor asks of it; `memory.py` has the twin for tests.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import httpx

from jobs import direct
from orchestrator.cluster.protocol import LogPart, Refused, Unreachable
from orchestrator.policies.liveness import Driver
from orchestrator.scheduler import Node

TIMEOUT = httpx.Timeout(5.0, connect=2.0)  # the loop waits for no answer longer than this
REMEMBERED = 10_000  # drivers whose place is known by heart
_RANGE = re.compile(r"bytes (?:\d+-\d+|\*)/(\d+)")


@dataclass(frozen=True, kw_only=True)
class _Place:
    """Where a driver runs; empty before it does."""

    node: str
    agent: str  # URL of the agent on that node
    is_near: bool = True  # the agent can be reached from here


class RayCluster:
    def __init__(self, address: str, token: str | None = None, runtime_env: Mapping[str, Any] | None = None) -> None:
        self.address = address.rstrip("/")
        self.runtime_env = dict(runtime_env or {})
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._http = direct.client(base_url=self.address, headers=headers, timeout=TIMEOUT)
        self._places: dict[str, _Place] = {}  # by driver

    def nodes(self) -> list[Node]:
        answer = self._get("/api/v0/nodes", params={"detail": "1", "limit": "10000"})
        with _understood(answer):
            listed = answer.json()["data"]["result"]["result"]
            return [_node(entry) for entry in listed if entry["state"] == "ALIVE"]

    def free(self) -> dict[str, float]:
        answer = self._get("/api/cluster_status")
        with _understood(answer):
            status = answer.json()["data"]["clusterStatus"] or {}
            usage = status.get("loadMetricsReport", {}).get("usage", {})
            return {name: usage[name][1] - usage[name][0] for name in ("CPU", "GPU") if name in usage}

    def drivers(self) -> dict[str, Driver]:
        answer = self._get("/api/jobs/")
        with _understood(answer):
            return {entry["submission_id"]: _driver(entry) for entry in answer.json() if entry.get("submission_id")}

    def driver(self, submission_id: str) -> Driver | None:
        answer = self._ask("GET", f"/api/jobs/{submission_id}")
        return None if answer.status_code == 404 else _driver(_ok(answer).json())

    def submit(self, submission_id: str, entrypoint: str, env: Mapping[str, str], metadata: Mapping[str, str]) -> None:
        runtime_env = {**self.runtime_env, "env_vars": {**self.runtime_env.get("env_vars", {}), **env}}
        request = {
            "submission_id": submission_id,
            "entrypoint": entrypoint,
            "entrypoint_num_cpus": 0,
            "runtime_env": runtime_env,
            "metadata": dict(metadata),
        }
        answer = self._ask("POST", "/api/jobs/", json=request)
        # 500 answers a doubled id as well as "no agent yet": only a look at the id tells.
        if answer.status_code == 500 and self.driver(submission_id) is not None:
            return
        _ok(answer)

    def stop(self, submission_id: str) -> None:
        answer = self._ask("POST", f"/api/jobs/{submission_id}/stop")
        if answer.status_code != 404:
            _ok(answer)

    def read_log(self, submission_id: str, start: int, stop: int) -> LogPart | None:
        """Do as the protocol says. The agent of the driver's node serves ranges of it; where that cannot be reached from
        here, the dashboard streams the whole, of which only the range is held."""
        place = self._places.get(submission_id) or self._ask_place(submission_id)
        if place is None:
            return None
        if place.node and place.is_near:
            try:
                return self._range_from_agent(place, submission_id, start, stop)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                self._places[submission_id] = place = replace(place, is_near=False)
            except httpx.HTTPError as error:
                raise Unreachable(f"Ray's agent at {place.agent} is silent: {error or type(error).__name__}") from None
        if place.node:
            return self._range_from_dashboard(place, submission_id, start, stop)
        return LogPart(data=b"", size=0)  # it has not begun

    def _ask_place(self, submission_id: str) -> "_Place | None":
        answer = self._ask("GET", f"/api/jobs/{submission_id}")
        if answer.status_code == 404:
            return None
        found = _ok(answer).json()
        place = _Place(node=found.get("driver_node_id") or "", agent=found.get("driver_agent_http_address") or "")
        if place.node and place.agent:
            if len(self._places) >= REMEMBERED:
                self._places.clear()
            self._places[submission_id] = place
        return place

    def _range_from_agent(self, place: "_Place", submission_id: str, start: int, stop: int) -> LogPart:
        asked = {"Range": f"bytes={start}-{stop - 1}", "Accept-Encoding": "identity"}
        with self._http.stream("GET", f"{place.agent}/logs/{_log_file(submission_id)}", headers=asked) as answer:
            if answer.status_code == 404:
                return LogPart(data=b"", size=0)
            found = _RANGE.fullmatch(answer.headers.get("Content-Range", ""))
            if answer.status_code == 416 and found:
                return LogPart(data=b"", size=int(found[1]))
            if answer.status_code == 206 and found:
                return LogPart(data=answer.read(), size=int(found[1]))
            raise Refused(f"Ray's agent at {place.agent} answers {answer.status_code} to a range of a log")

    def _range_from_dashboard(self, place: "_Place", submission_id: str, start: int, stop: int) -> LogPart:
        asked = {"node_id": place.node, "filename": _log_file(submission_id), "lines": "-1"}
        parts, size = [], 0
        try:
            with self._http.stream("GET", "/api/v0/logs/file", params=asked) as answer:
                if answer.is_error:
                    answer.read()
                for block in _ok(answer).iter_bytes():
                    parts.append(block[max(start - size, 0) : max(stop - size, 0)])
                    size += len(block)
        except httpx.HTTPError as error:
            raise Unreachable(f"Ray at {self.address} gives no answer: {error or type(error).__name__}") from None
        return LogPart(data=b"".join(parts), size=size)

    def delete(self, submission_id: str) -> None:
        answer = self._ask("DELETE", f"/api/jobs/{submission_id}")
        if answer.status_code != 404:
            _ok(answer)

    def close(self) -> None:
        self._http.close()

    def _get(self, path: str, **options: Any) -> httpx.Response:
        return _ok(self._ask("GET", path, **options))

    def _ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            answer = self._http.request(method, path, **options)
        except httpx.HTTPError as error:
            raise Unreachable(f"Ray at {self.address} gives no answer: {error or type(error).__name__}") from None
        if answer.status_code in (401, 403):
            raise Unreachable(
                f"Ray at {self.address} refuses the token ({answer.status_code}); "
                "check RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH"
            )
        if answer.status_code in (502, 503, 504):
            raise Unreachable(f"Ray at {self.address} answers {answer.status_code}")
        return answer


def _log_file(submission_id: str) -> str:
    return f"job-driver-{submission_id}.log"


@contextmanager
def _understood(answer: httpx.Response) -> Iterator[None]:
    """Refuse the page of a proxy, or of a dashboard half started: it is no answer of Ray's."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Unreachable(f"{answer.url} answers something else than Ray does ({type(error).__name__})") from None


def _ok(answer: httpx.Response) -> httpx.Response:
    if answer.is_error:
        last_line = answer.text.strip().splitlines()[-1:] or [""]
        raise Refused(f"Ray answers {answer.status_code}: {last_line[0][:500]}")
    return answer


_ACCELERATOR = "accelerator_type:"  # the prefix of the resource by which Ray tells a node's kind of GPU


def _node(entry: Mapping[str, Any]) -> Node:
    total = entry.get("resources_total") or {}
    labels = {str(name): str(value) for name, value in (entry.get("labels") or {}).items()}
    named = [name.removeprefix(_ACCELERATOR) for name in total if name.startswith(_ACCELERATOR)]
    return Node(
        id=entry["node_id"],
        cpus=total.get("CPU", 0.0),
        gpus=total.get("GPU", 0.0),
        memory=total.get("memory", 0.0),
        accelerator=named[0] if named else labels.get("ray.io/accelerator-type"),
        labels=labels,
    )


def _driver(entry: Mapping[str, Any]) -> Driver:
    return Driver(status=entry["status"], message=entry.get("message") or "")
