from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from fastapi.testclient import TestClient
from works_bench import Bench, Clock, empty_database, make_works

from orchestrator.cluster_memory import MemoryCluster
from orchestrator.serve import application


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    # structlog's own default draws tracebacks for terminals, with all locals, for seconds.
    structlog.configure(processors=[structlog.processors.format_exc_info, structlog.processors.JSONRenderer()])
    empty_database()
    clock, cluster = Clock(), MemoryCluster()
    works = make_works(tmp_path, cluster, clock)
    bench = Bench(works, cluster, clock, TestClient(application(works), raise_server_exceptions=False))
    bench.step()
    yield bench
    bench.works.database.close()
