"""The server's parts, put together: what a route reaches through its request."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from jobs.store import Store
from orchestrator import db
from orchestrator.clock import SteadyClock
from orchestrator.cluster import Cluster
from orchestrator.observability.process_metrics import ProcessMetrics
from orchestrator.observability.redact import Redactor
from orchestrator.server.far import FarReads
from orchestrator.settings import Settings
from orchestrator.supervision.archiver import Archiver
from orchestrator.supervision.supervisor import Supervisor


@dataclass(kw_only=True)
class ServerState:
    settings: Settings
    database: db.Database
    cluster: Cluster
    store: Store
    hasty_store: Store | None = None  # the same one with short time-outs, for those who only look; None: the same
    far: FarReads = field(default_factory=FarReads)
    clock: Callable[[], float] = field(default_factory=SteadyClock)  # for durations and records
    wall: Callable[[], float] = time.time  # for calendars
    process_metrics: ProcessMetrics = field(default_factory=ProcessMetrics)
    supervisor: Supervisor = field(init=False)
    archiver: Archiver = field(init=False)
    redactor: Redactor = field(init=False)

    def __post_init__(self) -> None:
        self.redactor = Redactor(self.settings.secrets)
        self.supervisor = Supervisor(
            self.database,
            self.cluster,
            self.settings,
            self.redactor,
            clock=self.clock,
            wall=self.wall,
            plan_seconds=self.process_metrics.plan_seconds.observe,
        )
        self.archiver = Archiver(
            self.database,
            self.cluster,
            self.store,
            self.redactor,
            wake_supervisor=self.supervisor.loop.wake,
            clock=self.clock,
        )

    @property
    def reader_store(self) -> Store:
        return self.hasty_store or self.store

    def start(self) -> None:
        self.supervisor.loop.start()
        self.archiver.loop.start()

    def stop(self) -> None:
        self.supervisor.loop.stop()
        self.archiver.loop.stop()

    def wake(self) -> None:
        """Wake both loops: something happened that neither should sleep over."""
        self.supervisor.loop.wake()
        self.archiver.loop.wake()
