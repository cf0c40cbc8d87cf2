"""What is done to a running command: signals, a closed terminal, another Ray beside it, a stack that is asked where it listens."""

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import termios
import threading
from pathlib import Path

import psutil

from orchestrator.local import processes, record
from tests.field import scene as scenes
from tests.field.scene import GANWORKS, TINY, Scene

LONG = TINY.replace("640, batch", "9M, batch").replace("every: 640", "every: 2k")
Ended = tuple[int, str]  # exit code, what is to be noted of it


def simply(scene: Scene) -> Ended:
    """Let it run."""
    return scenes.end(scene.begin()), ""


def signalled(number: signal.Signals):
    """Send a signal once there is a checkpoint."""

    def act(scene: Scene) -> Ended:
        running = scene.begin()
        scene.wait_until(scene.checkpoints, running)
        running.send_signal(number)
        code = scenes.end(running)
        assert scene.status() == "SUSPENDED", scene.status()
        return code, f"{scene.status()}, {len(scene.checkpoints())} checkpoint kept"

    return act


def by_timeout(scene: Scene) -> Ended:
    """As `timeout SECONDS ganworks run …`, whose time is over when there is a checkpoint: it asks the whole group to end."""
    scene.command = ["timeout", "1000", *scene.command]
    running = scene.begin()
    scene.wait_until(scene.checkpoints, running)
    running.send_signal(signal.SIGTERM)  # `timeout` hands on what it is sent, as it does at its time
    code = scenes.end(running)
    assert scene.status() == "SUSPENDED", scene.status()
    return code, scene.status()


def while_starting(scene: Scene) -> Ended:
    running = scene.begin()
    scene.wait_until(lambda: (scene.home / "ray.log").exists(), running)
    running.send_signal(signal.SIGTERM)
    return scenes.end(running), "nothing had begun"


def closed_terminal(scene: Scene) -> Ended:
    """The terminal's window is closed: SIGHUP, and nothing can be written any more."""
    ours, theirs = os.openpty()
    streams = dict.fromkeys(("stdin", "stdout", "stderr"), theirs)
    running = scene.begin(**streams, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
    os.close(theirs)
    drain = threading.Thread(target=_drain, args=(os.dup(ours),), daemon=True)
    drain.start()
    scene.wait_until(scene.checkpoints, running)
    _closing.set()
    drain.join()
    os.close(ours)
    code = scenes.end(running)
    assert scene.status() == "SUSPENDED", scene.status()
    return code, scene.status()


_closing = threading.Event()


def _drain(terminal: int) -> None:
    """Read what is written, as a terminal does, until it is closed."""
    os.set_blocking(terminal, False)
    while not _closing.wait(0.05):
        try:
            os.read(terminal, 65536)
        except BlockingIOError:
            continue
    os.close(terminal)


def ignoring(number: signal.Signals):
    """Start it with a signal ignored, as `nohup` and a shell's background jobs do, and send that signal: it goes on."""

    def act(scene: Scene) -> Ended:
        running = scene.begin(preexec_fn=lambda: signal.signal(number, signal.SIG_IGN))
        scene.wait_until(lambda: (scene.home / "ray.log").exists(), running)
        running.send_signal(number)
        return scenes.end(running), "went on"

    return act


def on_loopback_alone(scene: Scene) -> Ended:
    """While it trains, nothing of it listens where other machines reach it."""
    running = scene.begin()
    scene.wait_until(scene.checkpoints, running)
    kept = record.read(scene.home)
    assert kept
    open_to_all = sorted({
        f"{connection.laddr.ip}:{connection.laddr.port}"
        for process in processes.marked(kept.stack) for connection in _connections(process)
        if connection.status == "LISTEN" and connection.laddr.ip not in ("127.0.0.1", "::1", "::ffff:127.0.0.1")
    })  # fmt: skip
    running.send_signal(signal.SIGINT)
    code = scenes.end(running)
    assert not open_to_all, open_to_all
    return code, "no port but on loopback"


def _connections(process: psutil.Process) -> list:
    try:
        return process.net_connections()
    except psutil.Error:
        return []


def beside_another_ray(scene: Scene) -> Ended:
    """Another Ray of this machine has the usual ports, and this shell is set to it."""
    folder = f"/tmp/other-{os.getpid()}"
    other = subprocess.Popen(
        [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--port=6379", "--num-cpus=1",
         "--include-dashboard=false", "--disable-usage-stats", f"--temp-dir={folder}"],
        env={**scene.env, "RAY_AUTH_MODE": "disabled"}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    try:
        scene.wait_until(lambda: _listens(6379), other)
        scene.env |= {"RAY_ADDRESS": "127.0.0.1:6379", "RAY_NAMESPACE": "theirs"}
        return scenes.end(scene.begin()), "the other one was not asked"
    finally:
        for process in [*psutil.Process(other.pid).children(recursive=True), other]:
            process.kill()
        other.wait()
        subprocess.run(["rm", "-rf", folder], check=True)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def listening_at(host: str):
    """`up --host`, a job to its end, and `down`."""

    def act(scene: Scene) -> Ended:
        port = str(processes.free_ports(1)[0])
        scene.command = [GANWORKS, "up", "--host", host, "--port", port]
        code = scenes.end(scene.begin())
        if code:
            return code, ""
        url = json.loads((scene.home / "stack.json").read_text())["url"]
        said = scene.said()
        try:
            scene.command = [GANWORKS, "submit", "--follow", str(scene.file)]
            code = scenes.end(scene.begin())
        finally:
            subprocess.run([GANWORKS, "down"], env=scene.env, check=True, capture_output=True)
        assert url in said, said
        return code, url

    return act


def among_busy_others(scene: Scene) -> Ended:
    """Six others for each CPU want as much of it as this one."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(6 * (os.cpu_count() or 1))]
    try:
        return scenes.end(scene.begin()), f"beside {len(others)} others"
    finally:
        for other in others:
            other.kill()
            other.wait()


def after_that(shell: str):
    """The command as a line of a shell: `COMMAND` stands for it."""

    def act(scene: Scene) -> Ended:
        words = " ".join(f"'{word}'" for word in scene.command)
        scene.command = ["bash", "-c", shell.replace("COMMAND", words).replace("FILE", str(scene.file))]
        return scenes.end(scene.begin()), ""

    return act


def in_a_folder_that_is_gone(scene: Scene) -> Ended:
    gone = Path(scene.folder / "gone")
    gone.mkdir()
    scene.command = ["bash", "-c", f'cd "{gone}" && rmdir "{gone}" && exec "$@"', "bash", *scene.command]
    return scenes.end(scene.begin()), ""
