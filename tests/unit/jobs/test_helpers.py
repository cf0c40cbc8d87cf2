"""A pretrained network is found like a data set, and its absence says where to get it."""

import hashlib
from pathlib import Path

import pytest
from torch import nn

from jobs.datasets.helpers import HelperNotFound, find_helper
from jobs.driver.failures import failure_of
from trainers.gan.family import Helper

CONTENT = b"weights of an eye"
EYE = Helper(
    file="eye.safetensors",
    sha256=hashlib.sha256(CONTENT).hexdigest(),
    build=lambda path: nn.Identity(),
    where="it comes with the package eyes",
)


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "mirror" / "helpers").mkdir(parents=True)
    monkeypatch.setenv("GANWORKS_DATA_MIRROR", str(tmp_path / "mirror"))
    return tmp_path / "mirror"


def test_it_is_copied_from_the_mirror_and_found_in_the_cache_afterwards(mirror: Path, tmp_path: Path) -> None:
    (mirror / "helpers" / EYE.file).write_bytes(CONTENT)
    found = find_helper(EYE, tmp_path / "cache")
    assert found.read_bytes() == CONTENT
    (mirror / "helpers" / EYE.file).unlink()
    assert find_helper(EYE, tmp_path / "cache") == found


def test_another_content_is_not_taken(mirror: Path, tmp_path: Path) -> None:
    (mirror / "helpers" / EYE.file).write_bytes(b"of another network")
    with pytest.raises(HelperNotFound, match=r"eye\.safetensors: another content") as told:
        find_helper(EYE, tmp_path / "cache")
    assert "it comes with the package eyes" in str(told.value)
    assert failure_of(told.value) == "bad_data"


def test_a_spoilt_copy_in_the_cache_is_made_anew(mirror: Path, tmp_path: Path) -> None:
    (mirror / EYE.file).write_bytes(CONTENT)
    find_helper(EYE, tmp_path / "cache").write_bytes(b"torn")
    assert find_helper(EYE, tmp_path / "cache").read_bytes() == CONTENT


def test_without_a_mirror_the_message_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GANWORKS_DATA_MIRROR", raising=False)
    with pytest.raises(HelperNotFound, match="put it into the folder `helpers` of GANWORKS_DATA_MIRROR"):
        find_helper(EYE, tmp_path)
