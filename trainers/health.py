"""Is a training still one? Named findings with their evidence, from a tick's stats and a look at the samples."""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from math import isfinite
from statistics import median

HISTORY = 64  # ticks that are remembered
IN_A_ROW = 3  # ticks that must agree before a slow illness is named
SURE = 0.02  # share of the loss at chance below which a discriminator is never wrong any more
FAINT = 0.01  # share of its usual norm below which the generator's gradient is lost
EXPLODED = 1e4  # size of logits, or multiple of a gradient's usual norm, that no healthy game reaches
ALIKE = 0.25  # share of the real data's diversity below which samples are one and the same
REPEATED = 0.5  # share of samples with a twin
GROWN_UP = 0.2  # share of the training before which samples may still look alike, since none look like anything
GROWN_UP_STEPS = 200  # and before so many steps
SWINGING = 16  # ticks over which a swing is looked for


@dataclass(frozen=True, kw_only=True)
class Finding:
    name: str  # divergence | mode_collapse | discriminator_overpowering | vanishing_gradient | oscillation | rollback
    message: str
    evidence: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Portrait:
    """How samples of fixed latents look beside real data, in a space of features."""

    diversity: float  # mean distance between samples, as a share of that between real ones
    duplicates: float  # share of samples nearer to another one than a twentieth of the real data's median distance

    def stats(self) -> dict[str, float]:
        return {"health/diversity": self.diversity, "health/duplicates": self.duplicates}


class Diverged(RuntimeError):
    """Weights or losses are no longer finite; raised on every rank at the tick that finds it."""

    def __init__(self, stats: Mapping[str, float], *, examples: int, steps: int, reason: str = "") -> None:
        self.stats, self.examples, self.steps, self.reason = dict(stats), examples, steps, reason
        bad = ", ".join(f"{name} = {value}" for name, value in not_finite(stats).items())
        super().__init__(f"training diverged at or shortly before {examples} examples (step {steps}): {reason or bad}")

    def __reduce__(self) -> tuple:
        return _rebuild, (self.stats, self.examples, self.steps, self.reason)


class Collapsed(RuntimeError):
    """The generator makes one and the same sample; raised on every rank where health.on_collapse is fail."""


class Watch:
    """Remembers ticks, and says what is wrong at the newest. at_chance: of the discriminator's loss; None: no floor."""

    def __init__(self, at_chance: float | None) -> None:
        self._at_chance = at_chance
        self._losses: deque[float] = deque(maxlen=HISTORY)
        self._gradients: deque[Mapping[str, float]] = deque(maxlen=HISTORY)
        self._portraits: deque[Portrait] = deque(maxlen=IN_A_ROW)
        self._rows: dict[str, int] = {}
        self._was_diverse = False

    def look(
        self, stats: Mapping[str, float], portrait: Portrait | None, *, progress: float, steps: int
    ) -> list[Finding]:
        """progress: share of the training that is done."""
        if bad := not_finite(stats):
            return [Finding(name="divergence", message=f"not finite: {', '.join(bad)}", evidence=bad)]
        found = [self._exploded(stats), self._overpowered(stats), self._faint(stats), self._swinging(stats)]
        if portrait is not None:
            found.append(self._collapsed(portrait, grown_up=progress >= GROWN_UP and steps >= GROWN_UP_STEPS))
        self._gradients.append({name: value for name, value in stats.items() if name.startswith("grad_norm/")})
        return [finding for finding in found if finding]

    def _exploded(self, stats: Mapping[str, float]) -> Finding | None:
        usual = {name: self._usual(name) for name in stats if name.startswith("grad_norm/")}
        sizes = {name: abs(stats[name]) for name in ("logits/real", "logits/fake") if name in stats}
        sizes |= {name: stats[name] / norm for name, norm in usual.items() if norm}
        huge = {name: size for name, size in sizes.items() if size > EXPLODED}
        if not huge:
            return None
        evidence = {name: stats[name] for name in huge}
        return Finding(name="divergence", message=f"far beyond its usual size: {', '.join(huge)}", evidence=evidence)

    def _overpowered(self, stats: Mapping[str, float]) -> Finding | None:
        loss = stats.get("loss/discriminator")
        if self._at_chance is None or loss is None or not self._row("sure", loss < SURE * self._at_chance):
            return None
        evidence = {"loss/discriminator": loss, "at_chance": self._at_chance}
        message = "the discriminator is never wrong, and the generator learns little from it"
        return Finding(name="discriminator_overpowering", message=message, evidence=evidence)

    def _faint(self, stats: Mapping[str, float]) -> Finding | None:
        norm, usual = stats.get("grad_norm/generator"), self._usual("grad_norm/generator")
        if norm is None or usual is None or not self._row("faint", norm < FAINT * usual):
            return None
        evidence = {"grad_norm/generator": norm, "usual": usual}
        return Finding(name="vanishing_gradient", message="the generator's gradient is lost", evidence=evidence)

    def _swinging(self, stats: Mapping[str, float]) -> Finding | None:
        """The generator's loss goes up and down by more than its own size, in turns."""
        if "loss/generator" not in stats:
            return None
        self._losses.append(stats["loss/generator"])
        recent = list(self._losses)[-SWINGING:]
        steps = [after - before for before, after in pairwise(recent)]
        turns = sum(one * other < 0 for one, other in pairwise(steps))
        size = sum(abs(value) for value in recent) / len(recent)
        swing = sum(abs(step) for step in steps) / max(1, len(steps))
        if len(recent) < SWINGING or turns < 0.7 * (SWINGING - 2) or swing < size:
            return None
        evidence = {"swing": swing, "size": size, "turns": float(turns)}
        return Finding(name="oscillation", message="the players chase each other", evidence=evidence)

    def _collapsed(self, portrait: Portrait, *, grown_up: bool) -> Finding | None:
        self._was_diverse |= portrait.diversity > 2 * ALIKE and portrait.duplicates < REPEATED / 2
        bad = portrait.diversity < ALIKE or portrait.duplicates > REPEATED
        if not self._row("alike", bad and (self._was_diverse or grown_up)):
            return None
        message = "samples of different latents are nearly the same"
        return Finding(name="mode_collapse", message=message, evidence=portrait.stats())

    def _usual(self, name: str) -> float | None:
        """Median of what was seen; None at first."""
        seen = [norms[name] for norms in self._gradients if name in norms]
        return median(seen) if len(seen) >= IN_A_ROW else None

    def _row(self, name: str, now: bool) -> bool:
        self._rows[name] = self._rows.get(name, 0) + 1 if now else 0
        return self._rows[name] >= IN_A_ROW


def not_finite(stats: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in stats.items() if not isfinite(value)}


def reaction(findings: Iterable[Finding], policy: Mapping[str, str | None]) -> tuple[str, Finding | None]:
    """warn | rollback | fail, and the finding that asks for it; without a policy only what is not finite fails."""
    for finding in findings:
        if finding.name == "divergence":
            default = "fail" if not_finite(finding.evidence) else "warn"
            if (chosen := policy.get("on_divergence") or default) != "warn":
                return chosen, finding
        if finding.name == "mode_collapse" and (chosen := policy.get("on_collapse") or "warn") != "warn":
            return chosen, finding
    return "warn", None


def _rebuild(stats: dict[str, float], examples: int, steps: int, reason: str) -> Diverged:
    return Diverged(stats, examples=examples, steps=steps, reason=reason)
