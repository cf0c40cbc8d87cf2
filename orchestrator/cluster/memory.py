"""The in-memory twin of Ray: drivers are entries that a test moves along by hand."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from orchestrator.cluster import LogPart, Refused, Unreachable
from orchestrator.policies.liveness import Driver, DriverStatus
from orchestrator.scheduler import Node


@dataclass(kw_only=True)
class Entry:
    driver: Driver
    entrypoint: str
    env: dict[str, str]
    metadata: dict[str, str]
    log: str = ""


@dataclass
class MemoryCluster:
    machines: list[Node] = field(default_factory=lambda: [Node(id="node-1", cpus=2.0)])
    entries: dict[str, Entry] = field(default_factory=dict)
    reachable: bool = True
    stubborn: bool = False  # drivers ignore a stop
    refusing: str = ""  # the reason why every submission is refused
    submissions: list[str] = field(default_factory=list)  # in order, also those that came twice
    stops: list[str] = field(default_factory=list)

    def nodes(self) -> list[Node]:
        self._reach()
        return list(self.machines)

    def free(self) -> dict[str, float]:
        self._reach()
        return {"CPU": sum(node.cpus for node in self.machines), "GPU": sum(node.gpus for node in self.machines)}

    def drivers(self) -> dict[str, Driver]:
        self._reach()
        return {id: entry.driver for id, entry in self.entries.items()}

    def driver(self, submission_id: str) -> Driver | None:
        return self.drivers().get(submission_id)

    def submit(self, submission_id: str, entrypoint: str, env: Mapping[str, str], metadata: Mapping[str, str]) -> None:
        self._reach()
        self.submissions.append(submission_id)
        if self.refusing:
            raise Refused(self.refusing)
        if submission_id not in self.entries:
            driver = Driver(status=DriverStatus.RUNNING)
            self.entries[submission_id] = Entry(
                driver=driver, entrypoint=entrypoint, env=dict(env), metadata=dict(metadata)
            )

    def stop(self, submission_id: str) -> None:
        self._reach()
        self.stops.append(submission_id)
        if submission_id in self.entries and not self.stubborn:
            self.becomes(submission_id, DriverStatus.STOPPED)

    def read_log(self, submission_id: str, start: int, stop: int) -> LogPart | None:
        self._reach()
        entry = self.entries.get(submission_id)
        if entry is None:
            return None
        data = entry.log.encode()
        return LogPart(data=data[start:stop], size=len(data))

    def delete(self, submission_id: str) -> None:
        self._reach()
        self.entries.pop(submission_id, None)

    def close(self) -> None:
        """Do nothing: there is nothing to close."""

    def becomes(self, submission_id: str, status: DriverStatus, message: str = "") -> None:
        """Script a driver: Ray shall say this of it from now on. What has ended stays ended."""
        entry = self.entries[submission_id]
        if not entry.driver.has_ended:
            entry.driver = replace(entry.driver, status=status, message=message)

    def forget(self) -> None:
        """Forget all jobs, as a head that was started again."""
        self.entries.clear()

    def _reach(self) -> None:
        if not self.reachable:
            raise Unreachable("the twin was told to be unreachable")
