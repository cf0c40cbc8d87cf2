"""An embedded Ray head: its command, its environment, its token, and whether it answers."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import httpx

from jobs import direct
from orchestrator import tokens
from orchestrator.local import limits, processes
from orchestrator.local.limits import Limits

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
HOST = "127.0.0.1"


class CannotStart(RuntimeError):
    """No head can be started here; the message says why."""


class RayMissing(CannotStart):
    """Ray is not installed beside this command line."""


class NoRoom(CannotStart):
    """Ray's sockets have no place."""


def choose_ports() -> dict[str, int]:
    return dict(zip(PORTS, processes.free_ports(len(PORTS)), strict=True))


def url(ports: Mapping[str, int]) -> str:
    return f"http://{HOST}:{ports['dashboard-port']}"


def token_path(home: Path) -> Path:
    return home / "ray-token"


# What a shell may have set for another Ray, another cluster or another launcher of trainings: none of it is for ours.
FOREIGN = ("RAY_ADDRESS", "RAY_AUTH_TOKEN", "RAY_JOB_CONFIG_JSON_ENV_VAR", "RAY_NAMESPACE", "RAY_REDIS_ADDRESS",
           "RAY_REDIS_PASSWORD", "RAY_EXTERNAL_STORAGE_NAMESPACE", "RAY_USE_TLS", "RAY_RUNTIME_ENV_HOOK", "RAY_CLUSTER_MODE",
           "RAY_OVERRIDE_RESOURCES", "RAY_OVERRIDE_JOB_RUNTIME_ENV", "RAY_RUNTIME_ENV_PLUGINS", "RAY_TMPDIR",
           "GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME", "RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT",
           "PYTHONWARNINGS", "PYTHONSTARTUP", "PYTHONOPTIMIZE", "MPLBACKEND")  # fmt: skip


def environment(home: Path, stack: str, folder: Path) -> dict[str, str]:
    """Return what Ray, its jobs and the server run with; `jobs.environment` has settled the rest."""
    tokens.kept(token_path(home))
    env = {name: value for name, value in os.environ.items() if name not in FOREIGN}
    return env | {
        processes.MARK: stack,
        "GANWORKS_HOME": str(home),
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token_path(home)),
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # as on a Mac: one node, and every port on loopback alone
        "RAY_TMPDIR": str(folder),
        "RAY_TRAIN_ENABLE_STATE_TRACKING": "1",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_DEDUP_LOGS": "0",
        "PYTHONUNBUFFERED": "1",
        # Where the temporary folder will not do for Ray's sockets, it will not for those of its Python processes.
        **({} if is_fit(Path(tempfile.gettempdir())) else {"TMPDIR": str(folder)}),
    }


_PLAIN_PATH = re.compile(r"[\w./+@:=-]+")
# Ray's Unix sockets lie some 65 characters below its folder, and their names end at 107.
LONGEST = 31


def temporary(stack: str, home: Path) -> Path:
    """Make a folder for Ray's sessions and logs, for this stack alone: in /tmp/ray another user's Ray would be in the way.

    Raises NoRoom where no folder will do.
    """
    places = [os.environ.get("TMPDIR"), "/tmp", "/var/tmp", "/dev/shm", os.environ.get("XDG_RUNTIME_DIR"), str(home)]
    for place in dict.fromkeys(map(Path, filter(None, places))):
        if is_fit(place):
            folder = place / f"ganworks-{stack[:8]}"
            folder.mkdir(mode=0o700, exist_ok=True)
            return folder
    raise NoRoom(
        "Ray needs a folder for its sockets: none of $TMPDIR, /tmp, /var/tmp, /dev/shm can be written and has a path of at "
        f"most {LONGEST} characters; set TMPDIR to one that does"
    )


def is_fit(place: Path) -> bool:
    """Return whether Ray's sockets can lie there; at spaces Ray splits its own commands."""
    return len(str(place)) <= LONGEST and not any(map(str.isspace, str(place))) and _is_writable(place)


def _is_writable(place: Path) -> bool:
    """Return whether a file can be made there; tried, since a file system that is mounted read-only refuses what its modes allow."""
    try:
        with tempfile.TemporaryFile(dir=place) as file:
            file.write(b"x" * 4096)
            file.flush()
    except OSError:
        return False
    return True


def interpreter(folder: Path) -> str:
    """Return this interpreter under a name that Ray's own commands take whole: they split and unquote what a shell would.

    The environment that it belongs to is linked from Ray's folder where its path has spaces, quotes or the like.
    """
    if _PLAIN_PATH.fullmatch(sys.executable):
        return sys.executable
    link = folder / "env"
    if not link.is_symlink():
        link.symlink_to(sys.prefix)
    return str(link / Path(sys.executable).relative_to(sys.prefix))


def clean(folder: str) -> None:
    """Remove what a head that has ended left behind; empty: it is not known where."""
    if folder:
        shutil.rmtree(folder, ignore_errors=True)


def command(ports: Mapping[str, int], cpus: int | None, folder: Path, allowed: Limits) -> list[str]:
    if importlib.util.find_spec("ray") is None:
        raise RayMissing("Ray is not installed here; pip install 'ganworks[all]'")
    store = allowed.object_store
    memory = [f"--memory={(allowed.memory or 0) - store}", f"--object-store-memory={store}"] if store else []
    return [
        interpreter(folder), "-P", "-m", "ray.scripts.scripts", "start", "--head", "--block", "--disable-usage-stats",
        f"--temp-dir={folder}", f"--node-ip-address={HOST}", f"--dashboard-host={HOST}", "--include-dashboard=true",
        f"--num-cpus={cpus or allowed.whole_cpus}", *memory,
        *(f"--{name}={port}" for name, port in ports.items()),
    ]  # fmt: skip


def start(home: Path, stack: str, ports: Mapping[str, int], cpus: int | None, folder: Path) -> subprocess.Popen[bytes]:
    """Begin a head; it blocks in its own session until it is ended or dies."""
    folder.mkdir(mode=0o700, exist_ok=True)
    log = (home / "ray.log").open("ab")
    with log:
        return subprocess.Popen(
            command(ports, cpus, folder, limits.find()),
            env=environment(home, stack, folder),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def answers(home: Path, ports: Mapping[str, int]) -> bool:
    """Return whether jobs can be submitted: the Jobs API answers, which it does once the head's agent is up."""
    headers = {"Authorization": f"Bearer {tokens.kept(token_path(home))}"}
    try:
        with direct.client(headers=headers, timeout=2) as http:
            return http.get(f"{url(ports)}/api/jobs/").status_code == 200
    except httpx.HTTPError:
        return False
