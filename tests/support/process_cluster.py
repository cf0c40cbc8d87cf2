"""The in-memory cluster with real drivers: each submission is a process of this machine. No Ray."""

import os
import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path

from orchestrator.cluster import LogPart
from orchestrator.cluster.memory import MemoryCluster
from orchestrator.policies.liveness import Driver, DriverStatus


class ProcessCluster(MemoryCluster):
    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def submit(self, submission_id: str, entrypoint: str, env: Mapping[str, str], metadata: Mapping[str, str]) -> None:
        super().submit(submission_id, entrypoint, env, metadata)
        with self._log(submission_id).open("wb") as log:
            self.processes[submission_id] = subprocess.Popen(
                shlex.split(entrypoint), env={**os.environ, **env}, stdout=log, stderr=subprocess.STDOUT
            )

    def drivers(self) -> dict[str, Driver]:
        for submission_id, process in self.processes.items():
            if process.poll() is not None:
                status = DriverStatus.FAILED if process.returncode else DriverStatus.SUCCEEDED
                self.becomes(submission_id, status, f"exit code {process.returncode}")
        return super().drivers()

    def stop(self, submission_id: str) -> None:
        super().stop(submission_id)
        self.processes[submission_id].terminate()

    def read_log(self, submission_id: str, start: int, stop: int) -> LogPart | None:
        path = self._log(submission_id)
        with path.open("rb") as log:
            log.seek(start)
            return LogPart(data=log.read(max(stop - start, 0)), size=path.stat().st_size)

    def close(self) -> None:
        for process in self.processes.values():
            process.kill()
            process.wait()

    def _log(self, submission_id: str) -> Path:
        return self.folder / f"{submission_id}.log"
