"""Compiled networks compute what plain ones do, in every family. Minutes each, nearly all of them the compiler's."""

from pathlib import Path

import pytest

from tests.support.options import OPTIONS, merged
from tests.support.toy import StopAfterOneTick, furthest, packed, settings, trained
from tests.support.works import TheWorks
from trainers.data.packed import PackedData
from trainers.gan.registry import built_in, get

pytestmark = pytest.mark.filterwarnings("ignore")  # of the compiler, which looks at everything


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> PackedData:
    return packed(tmp_path_factory.mktemp("toy") / "data")


TEXT = """\
kind: train
name: compiled
model: {family: dcgan, params: {base_channels: 8, execution: {compile: true}}}
data: {source: shapes, resolution: 16}
train: {examples: 2k, batch_size: 64}
resources: {workers: 1}
retry: {limit: 3, backoff: 1s}
"""
CASES = {**{name: (name, {}) for name in built_in()}, "growing": OPTIONS["growing"]}


@pytest.mark.parametrize("case", CASES)
def test_compiled_equals_plain_and_resumes_exactly(case: str, toy: PackedData, tmp_path: Path) -> None:
    name, more = CASES[case]
    params = merged(get(name).tiny(), more)
    plain = settings(name, precision="fp64", params=params)
    compiled = settings(name, precision="fp64", params=params | {"execution": {"compile": True}})
    whole = trained(toy, tmp_path / "compiled", compiled)
    assert furthest(trained(toy, tmp_path / "plain", plain).checkpoint, whole.checkpoint) <= 1e-10
    stopped = trained(toy, tmp_path / "stopped", compiled, hooks=StopAfterOneTick())
    resumed = trained(toy, tmp_path / "resumed", compiled, resume=stopped.checkpoint)
    assert furthest(whole.checkpoint, resumed.checkpoint) == 0


def test_an_attempt_that_was_killed_while_it_compiled_fails_no_later_one(works: TheWorks, tmp_path: Path) -> None:
    """A kill leaves torn files behind, in a cache that no other attempt reads."""
    (job_id,) = works.submit(TEXT, tmp_path)
    cache = works.home / "attempts" / f"{job_id}-1" / "compiled"
    works.wait_for(lambda: list(cache.rglob("*.so")), within=240)
    for rank in works.ranks():
        rank.kill()
    job = works.wait_ended(job_id, within=300)
    assert (job["status"], job["attempt"]) == ("SUCCEEDED", 2), works.story(job_id)
