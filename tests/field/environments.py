"""The environments, a line each: what a shell, a machine or a store has that ours must live with, or name in one line."""

import signal
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.field import actions, machine
from tests.field.actions import LONG, Ended, after_that, ignoring, listening_at, signalled
from tests.field.scene import TINY, Scene
from tests.support import weed
from tests.support.faults import FaultProxy

DEAD = "http://127.0.0.1:9"  # a proxy that does not answer
NOBODY = 47_110  # a user whom passwd does not know
Prepare = Callable[[Scene], None]


@dataclass(frozen=True, kw_only=True)
class Environment:
    name: str
    kind: str
    env: Mapping[str, str] = field(default_factory=dict)
    prepare: Prepare = lambda scene: None
    act: Callable[[Scene], Ended] = actions.simply
    text: str = TINY
    codes: tuple[int, ...] = (0,)
    said: str = ""  # in the one line that names the cause; empty: it ends right
    is_heard: bool = True  # whether what it prints can be looked at


def everything() -> list[Environment]:
    return [*SIGNALS, *PROXIES, *RAY, *LIMITS, *PATHS, *NAMES, *HOSTS, *FILES, *STREAMS, *STORES]


def _variables(kind: str, **named: Mapping[str, str]) -> list[Environment]:
    return [Environment(kind=kind, name=name.replace("__", " "), env=env) for name, env in named.items()]


SIGNALS = [
    Environment(kind="signals", name="SIGTERM", act=signalled(signal.SIGTERM), text=LONG, codes=(143,)),
    Environment(kind="signals", name="SIGHUP", act=signalled(signal.SIGHUP), text=LONG, codes=(129,)),
    Environment(kind="signals", name="Ctrl-C", act=signalled(signal.SIGINT), text=LONG, codes=(130,)),
    Environment(kind="signals", name="a closed terminal", act=actions.closed_terminal, text=LONG, codes=(129,), is_heard=False),
    Environment(kind="signals", name="timeout", act=actions.by_timeout, text=LONG, codes=(124, 143)),
    Environment(kind="signals", name="SIGTERM while Ray starts", act=actions.while_starting, codes=(143,)),
    Environment(kind="signals", name="nohup", act=ignoring(signal.SIGHUP)),
    Environment(kind="signals", name="a background job (SIGINT ignored)", act=ignoring(signal.SIGINT)),
]  # fmt: skip

PROXIES = _variables(
    "proxies",
    http_proxy={"http_proxy": DEAD, "HTTP_PROXY": DEAD},
    https_proxy={"https_proxy": DEAD, "HTTPS_PROXY": DEAD},
    ALL_PROXY__of__socks5={"ALL_PROXY": "socks5://127.0.0.1:9", "all_proxy": "socks5://127.0.0.1:9"},
    NO_PROXY__in__brackets={"http_proxy": DEAD, "NO_PROXY": "[::1]"},
    NO_PROXY__of__others={"http_proxy": DEAD, "no_proxy": "10.0.0.0/8, .example.com"},
    a__proxy__without__scheme={"http_proxy": "127.0.0.1:9"},
    grpc_proxy={"grpc_proxy": DEAD, "http_proxy": DEAD},
)


def _s3(scene: Scene, **proxy: str) -> None:
    """A store of its own, behind a proxy that makes it older than it is."""
    server = weed.start(scene.folder / "weed")
    older = FaultProxy(server.endpoint, **proxy)  # type: ignore[arg-type]
    scene.at_end += [older.stop, server.stop]
    scene.env |= server.env | {"AWS_ENDPOINT_URL_S3": older.url, "GANWORKS_STORE": f"s3://{weed.BUCKET}/field"}


PROXIES += [
    Environment(kind="proxies", name="with S3 on this machine", env={"http_proxy": DEAD}, prepare=_s3),
]

RAY = [
    *_variables(
        "ray",
        RAY_AUTH_TOKEN={"RAY_AUTH_TOKEN": "of-another-cluster", "RAY_AUTH_MODE": "token"},
        RAY_ADDRESS={"RAY_ADDRESS": "10.255.255.1:6379"},
        RAY_TMPDIR={"RAY_TMPDIR": "/nowhere"},
        RAY_RUNTIME_ENV_HOOK={"RAY_RUNTIME_ENV_HOOK": "nowhere.hook", "RAY_USE_TLS": "1"},
        torchrun__and__NCCL={"RANK": "3", "WORLD_SIZE": "8", "MASTER_ADDR": "10.1.1.1", "GLOO_SOCKET_IFNAME": "eth9"},
    ),
    Environment(kind="ray", name="another Ray on this machine", act=actions.beside_another_ray),
    Environment(kind="ray", name="its ports", act=actions.on_loopback_alone, text=LONG, codes=(130,)),
]


def _half_a_cpu(scene: Scene) -> None:
    machine.in_cgroup(scene, "cpu", cpu__cfs_period_us="100000", cpu__cfs_quota_us="50000", cpu__max="50000 100000")


def _three_gigabytes(scene: Scene) -> None:
    machine.in_cgroup(scene, "memory", memory__limit_in_bytes=str(3 << 30), memory__max=str(3 << 30))


def _one_core(scene: Scene) -> None:
    scene.prefix = ["taskset", "-c", "0", *scene.prefix]


def _few_files(scene: Scene) -> None:
    scene.prefix = ["prlimit", "--nofile=1024:1024", *scene.prefix]


def _little_shared_memory(scene: Scene) -> None:
    machine.mounted(scene, "-t tmpfs -o size=64m none /dev/shm")


LIMITS = [
    Environment(kind="limits", name="half a CPU", prepare=_half_a_cpu),
    Environment(kind="limits", name="3 GiB of memory", prepare=_three_gigabytes),
    Environment(kind="limits", name="one core of several", prepare=_one_core),
    Environment(kind="limits", name="1024 open files", prepare=_few_files),
    Environment(kind="limits", name="64 MB of /dev/shm", prepare=_little_shared_memory),
]


def _home_at(name: str) -> Prepare:
    def prepare(scene: Scene) -> None:
        scene.env["GANWORKS_HOME"] = str(scene.folder / name)

    return prepare


def _in_a_folder_of(name: str) -> Prepare:
    def prepare(scene: Scene) -> None:
        scene.cwd = scene.folder / name
        scene.cwd.mkdir()
        (scene.cwd / "my jobs.yaml").write_text(scene.text)
        scene.command[-1] = "my jobs.yaml"

    return prepare


PATHS = [
    Environment(kind="paths", name="a space in the virtual environment", prepare=machine.environment_with_space),
    Environment(kind="paths", name="a space in the home", prepare=_home_at("my home")),
    Environment(kind="paths", name="quotes and umlauts in the home", prepare=_home_at("it's ünser")),
    Environment(kind="paths", name="a space in folder and file", prepare=_in_a_folder_of("my work")),
    Environment(kind="paths", name="the working directory is gone", act=actions.in_a_folder_that_is_gone),
]


def _own_code(*names: str, path: str = "{folder}/mine", inside: bool = False) -> Prepare:
    """Modules of a user's own that bear our names; whoever imports one of them ends."""

    def prepare(scene: Scene) -> None:
        mine = scene.folder / "mine"
        mine.mkdir()
        for name in names:
            module = mine / name if name.endswith(".py") else mine / name / "__init__.py"
            module.parent.mkdir(exist_ok=True)
            module.write_text("raise SystemExit('not the one that was meant')\n")
        scene.env["PYTHONPATH"] = path.format(folder=scene.folder)
        scene.cwd = mine if inside else scene.cwd

    return prepare


NAMES = [
    Environment(kind="names", name="jobs/ on PYTHONPATH", prepare=_own_code("jobs")),
    Environment(kind="names", name="orchestrator/ and PYTHONPATH=.", prepare=_own_code("orchestrator", path=".", inside=True)),
    Environment(kind="names", name="trainers.py on PYTHONPATH", prepare=_own_code("trainers.py")),
    Environment(kind="names", name="jobs/ in the working directory", prepare=_own_code("jobs", "trainers", path="", inside=True)),
]  # fmt: skip


def _taken_port(scene: Scene) -> None:
    taken = socket.create_server(("127.0.0.1", 0))
    scene.at_end.append(taken.close)
    scene.env["GANWORKS_TAKEN"] = str(taken.getsockname()[1])


def _at_taken_port(scene: Scene) -> Ended:
    scene.command = [scene.command[0], "up", "--port", scene.env["GANWORKS_TAKEN"]]
    return actions.simply(scene)


HOSTS = [
    Environment(kind="hosts", name="up --host ::1", act=listening_at("::1")),
    Environment(kind="hosts", name="up --host 0.0.0.0", act=listening_at("0.0.0.0")),
    Environment(kind="hosts", name="up --host ADDRESS", act=listening_at("127.0.0.5")),
    Environment(kind="hosts", name="an address of another machine", act=listening_at("203.0.113.9"), codes=(2,),
                said="203.0.113.9 is not an address of this machine"),
    Environment(kind="hosts", name="a host that nobody knows", act=listening_at("no-such-host.invalid"), codes=(2,),
                said="'no-such-host.invalid' is no host that this machine knows"),
    Environment(kind="hosts", name="a taken port", prepare=_taken_port, act=_at_taken_port, codes=(2,), said="is taken"),
]  # fmt: skip


def _long_tmpdir(scene: Scene) -> None:
    scene.env["TMPDIR"] = str(scene.folder / ("long" * 20))
    Path(scene.env["TMPDIR"]).mkdir()


def _tmpdir_with_a_space(scene: Scene) -> None:
    scene.env["TMPDIR"] = str(scene.folder / "my tmp")
    Path(scene.env["TMPDIR"]).mkdir()


def _read_only_tmp(scene: Scene) -> None:
    machine.mounted(scene, "-t tmpfs -o ro none /tmp") if not str(scene.folder).startswith("/tmp/") else _read_only_but(
        scene
    )


def _read_only_but(scene: Scene) -> None:
    """The scene itself lies in /tmp: that stays writable below a /tmp that is not."""
    machine.mounted(scene, "--bind /tmp /tmp", f"--bind {scene.folder} {scene.folder}", "-o remount,bind,ro /tmp")


def _unknown_user(scene: Scene) -> None:
    machine.as_user(scene, NOBODY)


def _user_without_home(scene: Scene) -> None:
    del scene.env["HOME"]
    machine.as_user(scene, NOBODY)


def _no_home_at_all(scene: Scene) -> None:
    scene.at_end.append(lambda home=scene.env.pop("HOME"): None)
    del scene.env["GANWORKS_HOME"]
    machine.as_user(scene, NOBODY)


def _home_of_nobody(scene: Scene) -> None:
    del scene.env["GANWORKS_HOME"]
    scene.env["HOME"] = "/nonexistent"
    machine.as_user(scene, NOBODY)


def _no_home_but_known(scene: Scene) -> None:
    del scene.env["HOME"]


def _read_only_home(scene: Scene) -> None:
    scene.home.mkdir()
    machine.mounted(scene, f"-t tmpfs -o ro none {scene.home}")


def _full_home(scene: Scene) -> None:
    scene.home.mkdir()
    machine.mounted(scene, f"-t tmpfs -o size=64k none {scene.home}")


def _lacking(code: str) -> Prepare:
    return lambda scene: machine.without(scene, code)


def _locale(**env: str) -> Mapping[str, str]:
    return {"PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", **env}


FILES = [
    Environment(kind="files", name="TMPDIR that is not there", env={"TMPDIR": "/nowhere"}),
    Environment(kind="files", name="TMPDIR with a long path", prepare=_long_tmpdir),
    Environment(kind="files", name="TMPDIR with a space", prepare=_tmpdir_with_a_space),
    Environment(kind="files", name="a read-only /tmp", prepare=_read_only_tmp),
    Environment(kind="files", name="no HOME", prepare=_no_home_but_known),
    Environment(kind="files", name="a user without a passwd entry", prepare=_unknown_user),
    Environment(kind="files", name="… and no HOME", prepare=_user_without_home),
    Environment(kind="files", name="… and nowhere to write", prepare=_no_home_at_all, codes=(2,), said="set GANWORKS_HOME"),
    Environment(kind="files", name="HOME=/nonexistent", prepare=_home_of_nobody, codes=(1, 2), said="/nonexistent"),
    Environment(kind="files", name="a read-only home", prepare=_read_only_home, codes=(1, 2), said="set it to a folder that can be written"),
    Environment(kind="files", name="a full home", prepare=_full_home, codes=(1, 2), said="No space left on device"),
    Environment(kind="files", name="no file locks", prepare=_lacking(machine.NO_LOCKS)),
    Environment(kind="files", name="no hard links", prepare=_lacking(machine.NO_LINKS)),
    Environment(kind="files", name="umask 077", act=after_that("umask 077; exec COMMAND")),
]  # fmt: skip

STREAMS = [
    *_variables(
        "streams",
        an__ASCII__locale=_locale(LANG="C", LC_ALL="C"),
        a__locale__that__is__not__there={"LC_ALL": "xx_YY.UTF-8", "LANG": "xx_YY.UTF-8"},
        PYTHONIOENCODING={"PYTHONIOENCODING": "ascii"},
        warnings__as__errors={"PYTHONWARNINGS": "error", "PYTHONOPTIMIZE": "2", "MPLBACKEND": "TkAgg"},
        a__token__with__a__newline={"GANWORKS_TOKEN": "a-token-of-forty-characters-or-thereabouts\n"},
    ),
    Environment(kind="streams", name="FILE is -", act=after_that(f"cat FILE | '{actions.GANWORKS}' run -")),
    Environment(kind="streams", name="FILE is /dev/stdin", act=after_that(f"'{actions.GANWORKS}' run /dev/stdin < FILE")),
    Environment(kind="streams", name="FILE is <(…)", act=after_that(f"'{actions.GANWORKS}' run <(cat FILE)")),
    Environment(kind="streams", name="| head -1", act=after_that("set -o pipefail; COMMAND | head -1"), codes=(0, 141), is_heard=False),
    Environment(kind="streams", name="nobody reads its errors", act=after_that("COMMAND 2> >(head -1)"), is_heard=False),
    Environment(kind="streams", name="output to a full disk", act=after_that("exec COMMAND > /dev/full"), codes=(1,), said="No space left on device"),
    Environment(kind="streams", name="closed streams", act=after_that("exec COMMAND <&- 2>&-")),
]  # fmt: skip

BOTH = f"""\
{TINY}---
kind: train
name: shapes
model: {{family: dcgan, params: {{base_channels: 4}}}}
data: {{source: shapes, resolution: 16}}
train: {{examples: 128, batch_size: 32, group: 16}}
resources: {{workers: 1}}
---
kind: generate
name: pictures
model: {{from: shapes}}
samples: 64
output: {{samples_per_shard: 32}}
resources: {{workers: 1}}
"""


def _store(newer: str) -> Prepare:
    return lambda scene: _s3(scene, newer=newer)


STORES = [
    Environment(kind="stores", name="no put-if-absent", prepare=_store("ignored"), text=BOTH),
    Environment(kind="stores", name="501 to conditions and copies", prepare=_store("refused"), text=BOTH),
    Environment(kind="stores", name="a directory without hard links", prepare=_lacking(machine.NO_LINKS), text=BOTH),
    Environment(kind="busy", name="a machine six times busier", act=actions.among_busy_others),
]
