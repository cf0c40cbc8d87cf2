"""The engine's step beside an earlier revision's: CPU time of a step, both trainings alternated in one run.

    python -m tests.bench.bench_before fd5a537 [--families dcgan wgan_gp] [--rounds 5] [--steps 40]

Of families whose recipe has not changed since: otherwise a step is another step. The earlier revision is checked out beside this one and imported in processes of its own; data, settings and seed are equal.
CPU time of a process with one thread, not wall time: other load on the machine disturbs it least.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
TRAINING = """
import importlib, sys, tempfile, time
from pathlib import Path
from trainers.data.pack import pack
from trainers.hooks import NoHooks
from trainers.loop import train
from trainers.settings import Settings

family, steps, batch = sys.argv[1], int(sys.argv[2]), 64
for name in ("trainers.data.readers.shapes", "trainers.data.shapes"):
    try:
        Shapes = importlib.import_module(name).Shapes
        break
    except ModuleNotFoundError:
        continue

class Hooks(NoHooks):
    seen = []
    def tick(self, tick):
        self.seen.append((tick.steps, time.process_time()))
        return "continue"

with tempfile.TemporaryDirectory() as folder:
    data = pack(Shapes(count=512), Path(folder) / "data", resolution=32)
    settings = Settings(
        family=family, params={"base_channels": 32} if family == "dcgan" else {}, examples=batch * steps, batch_size=batch, group=32, seed=0,
        precision="fp32", checkpoint_every=10**9, grid_every=10**9, grid_count=1, threads=1, device="cpu",
        tick_seconds=1e-6,
    )
    train(settings, data, workspace=Path(folder) / "workspace", resume=None, hooks=Hooks())
(first, begun), (last, ended) = Hooks.seen[len(Hooks.seen) // 4], Hooks.seen[-1]
print((ended - begun) / (last - first))
"""


def step(tree: Path, family: str, steps: int) -> float:
    """Return seconds of CPU time that a step takes with the code of a tree; without its first quarter, which warms up."""
    environment = {**os.environ, "PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", TRAINING, family, str(steps)]
    ran = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True)
    if ran.returncode:
        raise SystemExit(f"{tree}: {ran.stderr}")
    return float(ran.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("revision")
    parser.add_argument("--families", nargs="+", default=["dcgan"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=40)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        before = Path(folder) / "before"
        subprocess.run(["git", "worktree", "add", "--detach", str(before), asked.revision], cwd=ROOT, check=True, capture_output=True)  # fmt: skip
        try:
            for family in asked.families:
                _compare(family, before, asked.rounds, asked.steps)
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", str(before)], cwd=ROOT, check=True)


def _compare(family: str, before: Path, rounds: int, steps: int) -> None:
    pairs = [(step(before, family, steps), step(ROOT, family, steps)) for _ in range(rounds)]
    old, new = (1000 * statistics.median(times) for times in zip(*pairs, strict=True))
    ratios = sorted(after / earlier for earlier, after in pairs)
    print(
        f"{family:<8} before {old:.1f} ms, now {new:.1f} ms of CPU time a step; now / before: median "
        f"{statistics.median(ratios):.3f}, from {ratios[0]:.3f} to {ratios[-1]:.3f} in {rounds} rounds",
        flush=True,
    )


if __name__ == "__main__":
    main()
