from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from works_bench import Bench, Clock, make_works

from orchestrator.cluster_memory import MemoryCluster
from orchestrator.serve import application


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    clock, cluster = Clock(), MemoryCluster()
    works = make_works(tmp_path, cluster, clock)
    bench = Bench(works, cluster, clock, TestClient(application(works), raise_server_exceptions=False))
    bench.step()
    yield bench
    bench.works.database.close()
