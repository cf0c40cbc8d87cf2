"""A small packed data set, settings for seconds of training, and a gang of processes that lives for the session."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from trainers_gang import Gang

from trainers.data.pack import pack
from trainers.data.packed import PackedData
from trainers.data.readers.shapes import Shapes
from trainers.settings import Settings


@pytest.fixture(scope="session")
def shapes16(tmp_path_factory: pytest.TempPathFactory) -> PackedData:
    """96 labelled RGB pictures of 16x16."""
    return pack(Shapes(count=96), tmp_path_factory.mktemp("data") / "shapes", resolution=16)


@pytest.fixture
def tiny() -> Callable[..., Settings]:
    return tiny_settings


def tiny_settings(**changes: Any) -> Settings:
    """DCGAN of 8 base channels; batches of 24 in 6 groups of 4."""
    settings: dict[str, Any] = {
        "family": "dcgan",
        "params": {"base_channels": 8, "latent": {"dim": 16}, "ema": {"half_life": 100}},
        "examples": 240,
        "batch_size": 24,
        "group": 4,
        "seed": 3,
        "precision": "fp32",
        "checkpoint_every": 120,
        "grid_every": 120,
        "grid_count": 9,
        "threads": 1,
        "device": "cpu",
    }
    return Settings(**(settings | changes))


@pytest.fixture(scope="session")
def gang() -> Iterator[Gang]:
    """Three processes."""
    with Gang(3) as gang:
        yield gang


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    return tmp_path / "workspace"
