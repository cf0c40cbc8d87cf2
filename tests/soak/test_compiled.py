"""Compiled networks compute what plain ones do, in every family. Minutes each, nearly all of them the compiler's."""

from pathlib import Path

import pytest

from tests.support.options import OPTIONS, merged
from tests.support.toy import StopAfterOneTick, furthest, packed, settings, trained
from trainers.data.packed import PackedData
from trainers.family import built_in, get

pytestmark = pytest.mark.filterwarnings("ignore")  # of the compiler, which looks at everything


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> PackedData:
    return packed(tmp_path_factory.mktemp("toy") / "data")


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
