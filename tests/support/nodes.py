"""Further Ray nodes on this machine, each at a loopback address of its own, beside the head of `ganworks up`."""

import contextlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from orchestrator.local import ray_head
from tests.support.works import TheWorks

HEAD_ONLY = {"port", "dashboard-port", "ray-client-server-port"}


class Nodes:
    """`works` ends what is left of them: they bear its mark."""

    def __init__(self, works: TheWorks) -> None:
        self.works = works
        self.started: dict[str, subprocess.Popen[bytes]] = {}

    def ensure(self, ip: str, **labels: str) -> None:
        if ip not in self.started:
            self.add(ip, **labels)

    def add(self, ip: str, **labels: str) -> None:
        """A node of one CPU; returns when the orchestrator sees it. Ray gives a raylet 30 s to begin: on a busy machine
        it may take another try."""
        before = self.cpus()
        for _ in range(3):
            launcher = self.started[ip] = self._launch(ip, labels)
            self.works.wait_for(lambda: self.cpus() > before or launcher.poll() is not None, within=120)  # noqa: B023
            if launcher.poll() is None:
                return
        raise AssertionError(self.works.log(f"node-{ip}.log"))

    def _launch(self, ip: str, labels: dict[str, str]) -> subprocess.Popen[bytes]:
        ports = {name: port for name, port in ray_head.choose_ports().items() if name not in HEAD_ONLY}
        named = ",".join(f"{name}={value}" for name, value in labels.items())
        command = [
            str(Path(sys.executable).with_name("ray")), "start", "--block", "--disable-usage-stats",
            f"--address={ray_head.HOST}:{self.works.record.ray_ports['port']}", f"--node-ip-address={ip}",
            "--num-cpus=1", *([f"--labels={named}"] if named else []),
            *(f"--{name}={port}" for name, port in ports.items()),
        ]  # fmt: skip
        env = ray_head.environment(self.works.home, self.works.stack, Path(self.works.record.folder))
        env["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "1"  # the embedded head is for one node; these join it all the same
        with (self.works.home / f"node-{ip}.log").open("ab") as log:
            return subprocess.Popen(
                command, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def kill(self, ip: str) -> None:
        """The raylet, its workers and the launcher, as a machine that loses power; what is gone already is fine."""
        launcher = self.started.pop(ip)
        for raylet in self.raylets(ip):
            for process in [*raylet.children(recursive=True), raylet]:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
        launcher.kill()
        launcher.wait()

    def close(self) -> None:
        for ip in list(self.started):
            self.kill(ip)

    def raylets(self, ip: str) -> list[psutil.Process]:
        found = self.works.find("raylet/raylet", f"--node_ip_address={ip}")
        return [process for process in found if process.name() == "raylet"]

    def of_ranks(self) -> list[str]:
        """The addresses of the nodes on which ranks run now."""
        return [ip for ip in (ray_head.HOST, *self.started) for rank in self.works.ranks() if self._is_on(rank, ip)]

    def _is_on(self, rank: psutil.Process, ip: str) -> bool:
        with contextlib.suppress(psutil.NoSuchProcess):
            return any(parent.pid == raylet.pid for parent in rank.parents() for raylet in self.raylets(ip))
        return False

    def cpus(self) -> float:
        return float(self.seen()["cpus"]["total"])

    def seen(self) -> dict[str, Any]:
        try:
            return self.works.client.get("/cluster")
        except Exception:  # the server looks at its cluster anew
            return {"cpus": {"total": 0}, "nodes": []}

    def wait_until(self, condition: Callable[[], Any], within: float = 120) -> Any:
        return self.works.wait_for(condition, within)
