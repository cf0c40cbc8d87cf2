import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from server_bench import Bench, Clock, client, empty_database, make_server

from orchestrator.cluster.memory import MemoryCluster

collect_ignore = [] if "GANWORKS_CASES" in os.environ else ["test_openapi.py"]  # minutes: `make soak`


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    # structlog's own default draws tracebacks for terminals, with all locals, for seconds.
    structlog.configure(processors=[structlog.processors.format_exc_info, structlog.processors.JSONRenderer()])
    empty_database()
    clock, cluster = Clock(), MemoryCluster()
    server = make_server(tmp_path, cluster, clock)
    bench = Bench(server, cluster, clock, client(server))
    bench.step()
    yield bench
    bench.close()
