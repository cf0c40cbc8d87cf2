"""What this process may have of the machine: CPUs and memory, as its cgroups (v1 and v2), its affinity and the machine say.

Ray looks at the limits of a container's outermost cgroup alone, and takes half a CPU for none.
"""

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

OBJECT_STORE_SHARE = 0.3  # as Ray's own
SMALLEST_OBJECT_STORE = 80 << 20  # bytes; Ray refuses less than 75 MiB


@dataclass(frozen=True, kw_only=True)
class Limits:
    cpus: float  # may be less than one
    memory: int | None = None  # bytes; None: as much as the machine has

    @property
    def whole_cpus(self) -> int:
        """Return what Ray is told: with none, nothing would ever run."""
        return max(1, math.floor(self.cpus + 1e-6))

    @property
    def object_store(self) -> int | None:
        return None if self.memory is None else max(SMALLEST_OBJECT_STORE, int(self.memory * OBJECT_STORE_SHARE))


def find(root: Path = Path("/")) -> Limits:
    """Return the tightest limits of all cgroups that this process is in. root: of the file system, for tests."""
    cpus = min([len(os.sched_getaffinity(0)), *_quotas(root)])
    memory = min([psutil.virtual_memory().total, *_memories(root)])
    return Limits(cpus=cpus, memory=memory if memory < psutil.virtual_memory().total else None)


def _quotas(root: Path) -> Iterator[float]:
    for folder in _folders(root, "cpu"):
        quota, _, period = (_read(folder / "cpu.max") or "max").partition(" ")
        if quota.isdecimal() and int(period or 0):
            yield int(quota) / int(period)
        quota, period = _read(folder / "cpu.cfs_quota_us") or "", _read(folder / "cpu.cfs_period_us") or ""
        if quota.isdecimal() and period.isdecimal() and int(period):
            yield int(quota) / int(period)


def _memories(root: Path) -> Iterator[int]:
    for folder in _folders(root, "memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            text = _read(folder / name) or ""
            if text.isdecimal():  # `max` is none
                yield int(text)


def _folders(root: Path, controller: str) -> Iterator[Path]:
    """Yield this process's cgroups of a controller, innermost first: each limits what is within."""
    for line in (_read(root / "proc/self/cgroup") or "").splitlines():
        number, controllers, path = line.split(":", 2)
        if number == "0" and not controllers:
            mounts = [root / "sys/fs/cgroup", root / "sys/fs/cgroup/unified"]
        elif controller in controllers.split(","):
            mounts = [root / "sys/fs/cgroup" / controllers, root / "sys/fs/cgroup" / controller]
        else:
            continue
        place = Path(path.lstrip("/"))
        for mount in mounts:
            yield from (mount / part for part in (place, *place.parents))


def _read(path: Path) -> str | None:
    try:
        return path.read_text("ascii").strip()
    except (OSError, ValueError):
        return None
