"""What this process may have: the tightest of its cgroups (v1, v2, in containers and without), its cores, the machine."""

import os
from pathlib import Path

import psutil
import pytest

from orchestrator.local import limits, ray_head
from orchestrator.local.limits import Limits

CORES = len(os.sched_getaffinity(0))


def root(tmp_path: Path, cgroup: str, **files: str) -> Path:
    """A file system with these cgroup files; `__` in their names is `/`."""
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text(cgroup)
    for name, text in files.items():
        path = tmp_path / "sys/fs/cgroup" / name.replace("__", "/").replace("_DOT_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


V1 = "4:memory:/work\n2:cpu,cpuacct:/work/one\n0::/\n"
V2 = "0::/work.slice/one.scope\n"


@pytest.mark.parametrize(
    ("cgroup", "files", "cpus"),
    [
        (V2, {"work.slice__one.scope__cpu.max": "50000 100000\n"}, 0.5),
        (V2, {"work.slice__cpu.max": "25000 100000\n", "work.slice__one.scope__cpu.max": "max 100000\n"}, 0.25),
        ("0::/\n", {"cpu.max": "50000 100000\n"}, 0.5),  # in a container
        ("0::/gone/elsewhere\n", {"cpu.max": "50000 100000\n"}, 0.5),  # the host's path, in a container
        (V1, {"cpu__work__one__cpu.cfs_quota_us": "50000\n", "cpu__work__one__cpu.cfs_period_us": "100000\n"}, 0.5),
        (V1, {"cpu,cpuacct__cpu.cfs_quota_us": "30000\n", "cpu,cpuacct__cpu.cfs_period_us": "100000\n"}, 0.3),
        (V1, {"cpu__work__one__cpu.cfs_quota_us": "-1\n", "cpu__work__one__cpu.cfs_period_us": "100000\n"}, CORES),
        (V2, {"cpu.max": "max 100000\n"}, CORES),
        (V2, {"cpu.max": "garbage"}, CORES),
        ("", {}, CORES),
    ],
)
def test_cpus_are_what_the_tightest_cgroup_allows(
    tmp_path: Path, cgroup: str, files: dict[str, str], cpus: float
) -> None:
    assert limits.find(root(tmp_path, cgroup, **files)).cpus == cpus


@pytest.mark.parametrize(
    ("cgroup", "files", "memory"),
    [
        (V2, {"work.slice__memory.max": "1000000\n", "work.slice__one.scope__memory.max": "max\n"}, 1_000_000),
        (V1, {"memory__work__memory.limit_in_bytes": "2000000\n"}, 2_000_000),
        (V1, {"memory__work__memory.limit_in_bytes": "9223372036854771712\n"}, None),  # as v1 says `none`
        (V2, {"memory.max": str(psutil.virtual_memory().total * 2)}, None),
        (V2, {}, None),
    ],
)
def test_so_is_memory(tmp_path: Path, cgroup: str, files: dict[str, str], memory: int | None) -> None:
    assert limits.find(root(tmp_path, cgroup, **files)).memory == memory


def test_no_proc_is_no_limit(tmp_path: Path) -> None:
    assert limits.find(tmp_path) == Limits(cpus=CORES)


@pytest.mark.parametrize(("cpus", "whole"), [(0.5, 1), (0.01, 1), (1.0, 1), (1.5, 1), (2.0, 2), (63.9, 63)])
def test_ray_is_told_whole_cpus_and_at_least_one(cpus: float, whole: int, tmp_path: Path) -> None:
    assert Limits(cpus=cpus).whole_cpus == whole
    assert f"--num-cpus={whole}" in ray_head.command({}, None, tmp_path, Limits(cpus=cpus))


def test_a_user_who_says_how_many_is_taken_at_the_word(tmp_path: Path) -> None:
    assert "--num-cpus=4" in ray_head.command({}, 4, tmp_path, Limits(cpus=0.5))


def test_a_limit_of_memory_is_shared_with_the_object_store(tmp_path: Path) -> None:
    said = ray_head.command({}, None, tmp_path, Limits(cpus=1, memory=1 << 30))
    given = {name: int(value) for name, _, value in (each.partition("=") for each in said) if "memory" in name}
    assert given["--memory"] + given["--object-store-memory"] == 1 << 30
    assert given["--object-store-memory"] == pytest.approx(0.3 * (1 << 30), rel=1e-6)
    assert not [
        each
        for each in ray_head.command({}, None, tmp_path, Limits(cpus=1))
        if "-memory=" in each or "--memory=" in each
    ]


def test_cores_that_are_taken_away_do_not_count(tmp_path: Path) -> None:
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert limits.find(tmp_path).cpus == 1
    finally:
        os.sched_setaffinity(0, before)
