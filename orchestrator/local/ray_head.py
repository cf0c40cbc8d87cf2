"""An embedded Ray head: its command, its environment, its token, and whether it answers."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import httpx

from orchestrator import tokens
from orchestrator.local import processes

# Every port that Ray would otherwise take by a fixed default, so that two stacks fit on one machine.
PORTS = (
    "port",
    "dashboard-port",
    "dashboard-agent-listen-port",
    "dashboard-agent-grpc-port",
    "runtime-env-agent-port",
    "metrics-export-port",
    "ray-client-server-port",
    "node-manager-port",
    "object-manager-port",
)
HOST = "127.0.0.1"  # else the GCS binds the LAN address


class RayMissing(RuntimeError):
    """Ray is not installed beside this command line."""


def choose_ports() -> dict[str, int]:
    return dict(zip(PORTS, processes.free_ports(len(PORTS)), strict=True))


def url(ports: Mapping[str, int]) -> str:
    return f"http://{HOST}:{ports['dashboard-port']}"


def token_path(home: Path) -> Path:
    return home / "ray-token"


def environment(home: Path, stack: str) -> dict[str, str]:
    """Return what Ray, its jobs and the server run with. A RAY_ADDRESS of the user's is ignored."""
    tokens.kept(token_path(home))
    env = {
        name: value for name, value in os.environ.items() if name not in ("RAY_ADDRESS", "RAY_JOB_CONFIG_JSON_ENV_VAR")
    }
    return env | {
        processes.MARK: stack,
        "GANWORKS_HOME": str(home),
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token_path(home)),
        "RAY_TRAIN_ENABLE_STATE_TRACKING": "1",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_DEDUP_LOGS": "0",
        "PYTHONUNBUFFERED": "1",
    }


def temporary(stack: str) -> Path:
    """Name the place of Ray's sessions and logs, this stack's own: in /tmp/ray another user's Ray would be in the way.

    The path is short, since it holds Unix sockets, whose names end at 107 characters.
    """
    return Path("/tmp") / f"ganworks-ray-{stack}"


def clean(stack: str) -> None:
    """Remove what a head that has ended left behind."""
    shutil.rmtree(temporary(stack), ignore_errors=True)


def command(ports: Mapping[str, int], cpus: int | None, folder: Path) -> list[str]:
    ray = Path(sys.executable).with_name("ray")
    executable = str(ray) if ray.exists() else shutil.which("ray")
    if executable is None:
        raise RayMissing("Ray is not installed here; pip install 'ganworks[all]'")
    return [
        executable, "start", "--head", "--block", "--disable-usage-stats",
        f"--temp-dir={folder}", f"--node-ip-address={HOST}", f"--dashboard-host={HOST}", "--include-dashboard=true",
        *([f"--num-cpus={cpus}"] if cpus else []),
        *(f"--{name}={port}" for name, port in ports.items()),
    ]  # fmt: skip


def start(home: Path, stack: str, ports: Mapping[str, int], cpus: int | None) -> subprocess.Popen[bytes]:
    """Begin a head; it blocks in its own session until it is ended or dies."""
    folder = temporary(stack)
    folder.mkdir(mode=0o700, exist_ok=True)
    log = (home / "ray.log").open("ab")
    with log:
        return subprocess.Popen(
            command(ports, cpus, folder),
            env=environment(home, stack),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def answers(home: Path, ports: Mapping[str, int]) -> bool:
    """Return whether jobs can be submitted: the Jobs API answers, which it does once the head's agent is up."""
    headers = {"Authorization": f"Bearer {tokens.kept(token_path(home))}"}
    try:
        return httpx.get(f"{url(ports)}/api/jobs/", headers=headers, timeout=2).status_code == 200
    except httpx.HTTPError:
        return False
