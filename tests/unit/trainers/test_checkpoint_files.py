import json
import os
from pathlib import Path

import pytest
import torch

from trainers import checkpoint
from trainers.checkpoint import DamagedCheckpoint
from trainers.snapshot import Snapshot


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    weight = torch.randn(4, 3, 2, 2).contiguous(memory_format=torch.channels_last)
    snapshot = Snapshot(
        networks={"generator": {"weight": weight}},
        averages={"generator": {"weight": weight * 2}},
        ranks={"generator.mean": torch.zeros(2, 4)},
        optimizers={"generator": {"state": {0: {"step": torch.tensor(3.0), "exp_avg": weight}}, "param_groups": []}},
        progress={"examples": 640, "steps": 10},
    )
    checkpoint.write(tmp_path / "000000000640", snapshot, world_size=2, threads=1, processor="test")
    return tmp_path / "000000000640"


def test_what_is_loaded_is_what_was_written(folder: Path):
    found = checkpoint.load(folder)
    assert torch.equal(found.averages["generator"]["weight"], found.networks["generator"]["weight"] * 2)
    assert torch.equal(found.optimizers["generator"]["state"][0]["exp_avg"], found.networks["generator"]["weight"])
    assert found.ranks["generator.mean"].shape == (2, 4)
    assert found.progress == {"examples": 640, "steps": 10}


def test_commit_says_what_a_resume_needs_to_know(folder: Path):
    commit = checkpoint.read_commit(folder)
    assert (commit["examples"], commit["steps"], commit["world_size"], commit["threads"]) == (640, 10, 2, 1)
    assert commit["torch"] == torch.__version__
    assert sorted(commit["files"]) == sorted(path.name for path in folder.iterdir() if path.name != "COMMIT.json")


FILES = [
    "average-generator.safetensors", "generator.safetensors", "optimizer-generator.pt", "ranks.safetensors", "state.json",
]  # fmt: skip


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", ["cut", "flipped", "missing"])
def test_damage_is_found_and_named_before_anything_is_decoded(
    folder: Path, name: str, damage: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(torch, "load", lambda *a, **k: pytest.fail("decoded a damaged checkpoint"))
    path = folder / name
    content = bytearray(path.read_bytes())
    match damage:
        case "cut":
            os.truncate(path, len(content) // 2)
        case "flipped":
            content[len(content) // 2] ^= 1
            path.write_bytes(content)
        case "missing":
            path.unlink()
    with pytest.raises(DamagedCheckpoint, match=name):
        checkpoint.load(folder)


@pytest.mark.parametrize("content", [None, "", "{", "[]", '{"version": 99, "files": {}}'])
def test_without_a_right_commit_there_is_no_checkpoint(folder: Path, content: str | None):
    commit = folder / "COMMIT.json"
    commit.unlink() if content is None else commit.write_text(content)
    with pytest.raises(DamagedCheckpoint, match=r"COMMIT\.json"):
        checkpoint.load(folder)


def test_a_commit_cannot_name_files_outside(folder: Path):
    (folder.parent / "x.pt").write_bytes(b"evil")
    commit = folder / "COMMIT.json"
    commit.write_text(commit.read_text().replace("optimizer-generator.pt", "../x.pt"))
    with pytest.raises(DamagedCheckpoint, match=r"x\.pt"):
        checkpoint.load(folder)


def test_optimizer_files_cannot_run_code(folder: Path):
    class Evil:
        def __reduce__(self):
            return os.system, ("true",)

    torch.save({"state": Evil()}, folder / "optimizer-generator.pt")
    commit = checkpoint.read_commit(folder)
    commit["files"]["optimizer-generator.pt"] = checkpoint._fingerprint(folder / "optimizer-generator.pt")
    (folder / "COMMIT.json").write_text(json.dumps(commit))
    with pytest.raises(Exception, match=r"[Ww]eights.only|WeightsUnpickler"):
        checkpoint.load(folder)


def test_prune_keeps_the_newest(tmp_path: Path):
    for name in ("000000000100", "000000000300", "000000000200", ".000000000400.partial"):
        (tmp_path / name).mkdir()
    checkpoint.prune(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".000000000400.partial",
        "000000000200",
        "000000000300",
    ]
