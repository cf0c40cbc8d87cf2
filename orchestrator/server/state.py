"""The server's parts, put together: what a route reaches through its request."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from jobs.store import Store
from orchestrator import db
from orchestrator.cluster import Cluster
from orchestrator.observability.process_metrics import Telemetry
from orchestrator.observability.redact import Redactor
from orchestrator.settings import Settings
from orchestrator.supervision.archiver import Errands
from orchestrator.supervision.supervisor import Supervisor


@dataclass(kw_only=True)
class Works:
    settings: Settings
    database: db.Database
    cluster: Cluster
    store: Store
    clock: Callable[[], float] = time.time
    telemetry: Telemetry = field(default_factory=Telemetry)
    supervisor: Supervisor = field(init=False)
    errands: Errands = field(init=False)
    redactor: Redactor = field(init=False)

    def __post_init__(self) -> None:
        self.redactor = Redactor(self.settings.secrets)
        self.supervisor = Supervisor(
            self.database,
            self.cluster,
            self.settings,
            self.redactor,
            clock=self.clock,
            plan_seconds=self.telemetry.plan_seconds.observe,
        )
        self.errands = Errands(
            self.database,
            self.cluster,
            self.store,
            self.redactor,
            wake_supervisor=self.supervisor.loop.wake,
            clock=self.clock,
        )

    def start(self) -> None:
        self.supervisor.loop.start()
        self.errands.loop.start()

    def stop(self) -> None:
        self.supervisor.loop.stop()
        self.errands.loop.stop()

    def wake(self) -> None:
        """Something happened that neither loop should sleep over."""
        self.supervisor.loop.wake()
        self.errands.loop.wake()
