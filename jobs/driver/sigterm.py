"""A stop through Ray reaches the driver as SIGTERM: it tells the orchestrator, then leaves."""

import os
import signal
from types import FrameType
from typing import NoReturn

from jobs import wire
from jobs.driver.orchestrator_client import OrchestratorClient


def tell(client: OrchestratorClient) -> None:
    """Install the handler. Whatever installs one of its own, as ray.init() does, goes first."""

    def stopped(number: int, frame: FrameType | None) -> NoReturn:
        client.result(wire.Result(outcome="stopped", message="stopped through Ray"))
        os._exit(0)

    signal.signal(signal.SIGTERM, stopped)
