"""What must hold on a CUDA device. Run by hand where there is one: pytest tests/gpu

Not part of `make test`, whose machines have no GPU. Without a GPU these tests fail: they are never skipped in silence.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from trainers.data.pack import pack
from trainers.data.packed import PackedData
from trainers.data.readers.shapes import Shapes
from trainers.generation.sampling import Sampler
from trainers.loop import NoHooks, Outcome, Settings, train

PARAMS = {"base_channels": 16, "ema": {"half_life": 500}}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> PackedData:
    assert torch.cuda.is_available(), "no CUDA device here"
    return pack(Shapes(count=2000), tmp_path_factory.mktemp("data") / "shapes", resolution=32)


def settings(**changes: object) -> Settings:
    plain = Settings(
        family="dcgan", params=PARAMS, examples=1920, batch_size=64, group=32, seed=1, precision="fp32",
        checkpoint_every=960, grid_every=1920, grid_count=16, threads=1, device="cuda",
    )  # fmt: skip
    return replace(plain, **changes)  # type: ignore[arg-type]


def model(outcome: Outcome) -> dict[str, torch.Tensor]:
    assert outcome.model
    return load_file(outcome.model / "generator.safetensors")


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


def test_a_resume_on_the_device_is_exact(data: PackedData, tmp_path: Path) -> None:
    whole = train(settings(), data, workspace=tmp_path / "whole", resume=None, hooks=NoHooks())
    half = train(settings(examples=960), data, workspace=tmp_path / "half", resume=None, hooks=NoHooks())
    rest = train(settings(), data, workspace=tmp_path / "rest", resume=half.checkpoint, hooks=NoHooks())
    assert equal(model(whole), model(rest))


def test_bf16_stays_near_fp32(data: PackedData, tmp_path: Path) -> None:
    exact = train(settings(examples=64), data, workspace=tmp_path / "a", resume=None, hooks=NoHooks())
    rough = train(settings(examples=64, precision="bf16"), data, workspace=tmp_path / "b", resume=None, hooks=NoHooks())
    for name, value in model(exact).items():
        assert torch.allclose(value.float(), model(rough)[name].float(), atol=2e-3), name


@pytest.mark.parametrize(
    "execution", [{"compile": True}, {"compile": True, "cuda_graphs": True}, {"gradient_accumulation": 2}]
)
def test_however_a_step_is_computed_it_stays_near(data: PackedData, tmp_path: Path, execution: dict) -> None:
    plain = train(settings(examples=64), data, workspace=tmp_path / "a", resume=None, hooks=NoHooks())
    other = settings(examples=64, params=PARAMS | {"execution": execution})
    changed = train(other, data, workspace=tmp_path / "b", resume=None, hooks=NoHooks())
    for name, value in model(plain).items():
        assert torch.allclose(value, model(changed)[name], atol=2e-3), name


def test_a_sample_does_not_depend_on_its_neighbours(data: PackedData, tmp_path: Path) -> None:
    outcome = train(settings(), data, workspace=tmp_path, resume=None, hooks=NoHooks())
    assert outcome.model
    sampler = Sampler.load(outcome.model, device="cuda")
    whole, _ = sampler.samples(0, 300, seed=5)
    part, _ = sampler.samples(117, 203, seed=5)
    assert (whole[117:203] == part).all()
    assert whole.dtype == np.uint8
