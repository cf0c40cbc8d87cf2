from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from works_bench import Bench, Clock, client, empty_database, make_works

from orchestrator.cluster.memory import MemoryCluster


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    # structlog's own default draws tracebacks for terminals, with all locals, for seconds.
    structlog.configure(processors=[structlog.processors.format_exc_info, structlog.processors.JSONRenderer()])
    empty_database()
    clock, cluster = Clock(), MemoryCluster()
    works = make_works(tmp_path, cluster, clock)
    bench = Bench(works, cluster, clock, client(works))
    bench.step()
    yield bench
    bench.close()
