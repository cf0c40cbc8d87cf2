"""Real servers for every test that needs one: each started once a session, ended by pid."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import weed
from tests.support.works import TheWorks


def pytest_configure() -> None:
    """A shell starts background jobs with SIGINT ignored, and what a test starts would inherit that: no Ctrl-C would reach it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[weed.S3Server]:
    server = weed.start(tmp_path_factory.mktemp("weed"))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def works(s3_server: weed.S3Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TheWorks]:
    """`ganworks up` against the S3 server: one Ray for the whole run."""
    works = TheWorks(tmp_path_factory.mktemp("home"), s3_server)
    works.up()
    yield works
    works.down()


@pytest.fixture(scope="session")
def ray_cluster(works: TheWorks) -> TheWorks:
    """The same Ray, for tests of the gateway: `.address` and `.token_path`."""
    return works


@pytest.fixture(autouse=True)
def no_settings_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test never sees the settings of whoever runs it."""
    for name in list(os.environ):
        if name.startswith("AWS_") or (name.startswith("GANWORKS_") and name != "GANWORKS_DATA_MIRROR"):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def mirror() -> Path:
    """Where `.ci/fetch` put data sets."""
    return Path(os.environ.get("GANWORKS_DATA_MIRROR", Path(__file__).parents[1] / ".cache" / "data"))
