"""What healthy trainings and planted faults look like to `trainers.monitoring.health`: python -m tests.learn.health [REPORT.md [WORD…]]

Every signal's worst value in each kind of training, over its seeds: the limits of health.RULES lie between. A value is
worst over as many ticks in a row as its rule wants, since one bad tick alone is no finding.
"""

import os
import platform
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import torch

from jobs.datasets import prepare
from jobs.specs.spec import Data
from tests.learn import recipes
from tests.support.options import merged
from tests.support.planted import Deaf, SpoiledOnce
from trainers.data.packed import PackedData
from trainers.gan.family import Family, Role
from trainers.gan.registry import build, built_in, get
from trainers.hooks import NoHooks, Tick
from trainers.loop import train
from trainers.monitoring.health import RULES, Diverged, Rule, SampleStatistics, Watch, is_mature, not_finite
from trainers.settings import Settings

SEEDS = range(2)
MORE = range(5)  # of healthy trainings on real data
TICK = 0.25  # seconds: many short ticks are the harder test of false alarms


@dataclass(frozen=True, kw_only=True)
class Case:
    name: str
    family: str
    params: Mapping[str, Any]
    source: str = "fashion-mnist"
    side: int | None = 16
    examples: int = 10_000
    batch: int = 16
    finding: str | None = None  # what must be named; None: nothing may be
    planted: type[Family] | None = None
    seeds: Sequence[int] = SEEDS


RING: dict[str, Any] = {
    "seeds": MORE,
    "family": "gan",
    "source": "ring",
    "side": None,
    "batch": 256,
    "examples": 400_000,
}
CLOTHES = recipes.CLOTHES
DCGAN = CLOTHES["dcgan"][0]


def hasty(family: str) -> dict[str, Any]:
    params, _ = CLOTHES[family]
    players = build(family, params, shape=(1, 16, 16), classes=10).optimizers()
    return merged(params, {name: {"lr": 100 * player.lr} for name, player in players.items()})


# Not healthy on coloured shapes: tiny dense networks, whose samples are alike, and SNGAN at its tiny() rates, twenty times
# the paper's, with which its discriminator's last ReLUs die for some seeds. Both are named, and rightly.
LEARN_SHAPES = sorted(set(built_in()) - {"gan", "sngan"})
HEALTHY = (
    *(
        Case(
            name=f"{family}, shapes",
            family=family,
            params=get(family).tiny(),
            source="shapes",
        )
        for family in LEARN_SHAPES
    ),
    *(
        Case(name=f"{family}, clothes", family=family, params=params, seeds=MORE)
        for family, (params, _) in CLOTHES.items()
    ),
    *(
        Case(name=f"ring, {name}", params=recipes.ring(changes, 0).params, **RING)
        for name, changes in recipes.RING.items()
    ),
)
FAULTS = (
    *(
        Case(name=f"rates x 100, {family}", family=family, params=hasty(family), finding=finding)
        # Spectral norm bounds the logits: what breaks there is the generator.
        for family, finding in (("gan", "divergence"), ("wgan_gp", "divergence"), ("sngan", "mode_collapse"))
    ),
    Case(
        name="discriminator too strong, dcgan",
        family="dcgan",
        params=merged(DCGAN, {"generator": {"lr": 1e-6}, "discriminator": {"lr": 2e-3, "steps": 4}}),
        finding="discriminator_overpowering",
    ),
    Case(
        name="NaN in a batch",
        family="dcgan",
        params=DCGAN,
        planted=SpoiledOnce,
        seeds=range(SpoiledOnce.seed, SpoiledOnce.seed + 1),
        finding="divergence",
    ),
    Case(name="deaf generator", family="dcgan", params=DCGAN, planted=Deaf, finding="mode_collapse"),
    Case(name="ring, crippled", params=recipes.ring(recipes.CRIPPLED, 0).params, finding="mode_collapse", **RING),
)
CASES: tuple[Case, ...] = FAULTS + HEALTHY


class Seen(NoHooks):
    """Findings and signals of one training."""

    def __init__(self, role: Role) -> None:
        self.found: dict[str, float] = {}  # finding -> share of the training when it was first named
        self.signals: dict[str, list[float]] = {rule.signal: [] for rule in RULES}
        self._watch = Watch(role)

    def tick(self, tick: Tick) -> str:
        progress = tick.examples / tick.total_examples
        for finding in tick.findings:
            self.found.setdefault(finding.name, progress)
        if not not_finite(tick.stats):
            told = self._watch.signals(tick.stats, _seen(tick), mature=is_mature(progress, tick.steps))
            for name, value in told.items():
                self.signals[name].append(value)
        return "continue"

    def worst(self, rule: Rule) -> float | None:
        """Over as many ticks in a row as the rule wants; None where it was never known so often."""
        values = self.signals[rule.signal]
        rows = [values[end - rule.ticks : end] for end in range(rule.ticks, len(values) + 1)]
        if not rows:
            return None
        return max(map(min, rows)) if rule.above else min(map(max, rows))


def _seen(tick: Tick) -> SampleStatistics | None:
    if "health/diversity" not in tick.stats:
        return None
    return SampleStatistics(
        **{field.name: tick.stats.get(f"health/{field.name}") for field in fields(SampleStatistics)}
    )  # type: ignore[arg-type]


def observe(case: Case, seed: int) -> Seen:
    """One training, to its end or until it is none any more."""
    settings = Settings(
        family=case.family, family_object=case.planted, params=case.params, examples=case.examples, seed=seed,
        batch_size=case.batch, group=min(32, case.batch), precision="fp32", checkpoint_every=10**9, grid_every=10**9,
        grid_count=4, threads=1, device="cpu", tick_seconds=TICK,
    )  # fmt: skip
    examples = data(case.source, case.side)
    seen = Seen(settings.build_family(examples).roles()[0])
    with tempfile.TemporaryDirectory() as folder, suppress(Diverged):
        train(settings, examples, workspace=Path(folder), resume=None, hooks=seen)
    return seen


@cache
def data(source: str, side: int | None) -> PackedData:
    cache = Path(tempfile.gettempdir()) / "ganworks-learn"
    return prepare(Data(source=source, resolution=side), cache, lambda *_: None)


def row(case: Case, seen: list[Seen]) -> str:
    """A line of the report."""
    cells = [_worst_of(rule, [each.worst(rule) for each in seen]) for rule in RULES]
    named = sorted({name for each in seen for name in each.found})
    times = sum(case.finding in each.found for each in seen) if case.finding else sum(not each.found for each in seen)
    wanted = case.finding or "nothing"
    return f"| {case.name} | {' | '.join(cells)} | {wanted}: {times} of {len(seen)} | {', '.join(named) or '–'} |"


def _worst_of(rule: Rule, values: list[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{(max if rule.above else min)(known):.3g}" if known else "–"


def head() -> str:
    limits = [f"{rule.signal} {'>' if rule.above else '<'} {rule.limit:g}" for rule in RULES]
    columns = ["training", *limits, "named as it should be", "all that was named"]
    return f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}"


ABOUT = """# What `health` goes by

`python -m tests.learn.health docs/health.md` writes this: every signal's worst value in each kind of training, over its seeds, at four
ticks a second; the head has the limits. A value counts as worst only over as many ticks in a row as its rule wants. Healthy trainings
must name nothing, planted faults what the last column but one says. `–`: the signal is not known there. DCGAN's rates x 100 are no fault:
batch norm makes its networks deaf to the rate, and it learns all the same.
"""


def main(report: str | None = None, *only: str) -> None:
    """only: cases whose names contain one of these words; all without."""
    lines = [
        ABOUT,
        f"{date.today()}, {platform.machine()}, one thread of {os.cpu_count()}, torch {torch.__version__}.",
        "",
        head(),
    ]
    for case in (case for case in CASES if not only or any(word in case.name for word in only)):
        begun = time.perf_counter()
        lines.append(row(case, [observe(case, seed) for seed in case.seeds]))
        print(lines[-1], f"{time.perf_counter() - begun:.0f} s", flush=True)
    if report:
        Path(report).write_text("\n".join(lines) + "\n", "utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
