"""Whether a training is still one: named findings with their evidence, from a tick's stats and a look at the samples."""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import pairwise
from math import isfinite
from statistics import median
from typing import Literal, cast

from trainers.gan.family import Role

HISTORY = 64  # ticks that are remembered
KNOWN = 3  # ticks after which it is known what is usual
MATURE = 0.2  # share of the training before which samples may still look alike, since none look like anything
MATURE_STEPS = 200  # and before so many steps
DIVERSE, SINGLE, WIDE = 0.5, 0.25, 0.5  # diversity, duplicates, reach from which samples do not look alike any more
SWINGING = 16  # ticks over which a swing is looked for
Reaction = Literal["warn", "rollback", "fail"]
TURNS = 0.7  # share of those ticks at which a loss that swings turns round


@dataclass(frozen=True, kw_only=True)
class Finding:
    name: str  # divergence | mode_collapse | discriminator_overpowering | vanishing_gradient | oscillation | rollback
    message: str
    evidence: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A signal beyond its limit at so many ticks in a row is a finding."""

    finding: str
    signal: str
    limit: float
    above: bool = False  # else a value below the limit is bad
    ticks: int = 3
    message: str

    def breaks(self, value: float) -> bool:
        return value > self.limit if self.above else value < self.limit


# Limits lie between what healthy trainings and planted faults show: docs/health.md, python -m tests.learn.health
RULES = (
    Rule(finding="divergence", signal="logits", limit=100, above=True, message="logits have exploded"),
    Rule(finding="divergence", signal="critic", limit=1e4, above=True, message="the critic's values have exploded"),
    Rule(finding="divergence", signal="gradient", limit=1e4, above=True, ticks=1, message="gradients have exploded"),
    Rule(
        finding="discriminator_overpowering",
        signal="discriminator_loss",
        limit=0.02,
        message="the discriminator is never wrong, and the generator learns little from it",
    ),
    Rule(
        finding="vanishing_gradient",
        signal="generator_gradient",
        limit=0.01,
        message="the generator's gradient is lost",
    ),
    Rule(finding="oscillation", signal="swing", limit=1.0, above=True, ticks=1, message="the players chase each other"),
    Rule(finding="mode_collapse", signal="reach", limit=0.15, message="samples are near to few real ones"),
    Rule(finding="mode_collapse", signal="diversity", limit=0.25, message="samples of different latents are alike"),
    Rule(
        finding="mode_collapse",
        signal="class_entropy",
        limit=0.3,
        message="samples are like real ones of few classes",
    ),
    Rule(
        finding="mode_collapse",
        signal="duplicates",
        limit=0.5,
        above=True,
        message="samples of different latents are the same",
    ),
)


@dataclass(frozen=True, kw_only=True)
class SampleStatistics:
    """How samples of fixed latents look beside real data, in a space of features."""

    diversity: float  # mean distance between samples, as a share of that between real ones
    duplicates: float  # share with another one within a twentieth of the reals' median distance, beyond that of reals
    reach: float  # how many real ones are the nearest one of some sample, as a share of what as many reals reach
    class_entropy: float | None = None  # of the labels of the nearest reals, as a share of theirs; None: no labels

    def known(self) -> dict[str, float]:
        return {name: value for name, value in asdict(self).items() if value is not None}

    def stats(self, prefix: str = "") -> dict[str, float]:
        return {f"{prefix}health/{name}": value for name, value in self.known().items()}


class Watches:
    """A watch for each role of a family. Findings of several roles name theirs."""

    def __init__(self, roles: Sequence[Role]) -> None:
        self._prefixes = [prefix_of(role, roles) for role in roles]
        self._all = [Watch(role, prefix) for role, prefix in zip(roles, self._prefixes, strict=True)]

    @property
    def is_worried(self) -> bool:
        return any(watch.is_worried for watch in self._all)

    def look(
        self, stats: Mapping[str, float], seen: Sequence[SampleStatistics | None], *, progress: float, steps: int
    ) -> list[Finding]:
        """Return what is wrong. seen: a look at the samples of each role; progress: share of the training that is done."""
        if bad := not_finite(stats):
            return [Finding(name="divergence", message=f"not finite: {', '.join(bad)}", evidence=bad)]
        found = []
        for watch, prefix, own in zip(self._all, self._prefixes, seen, strict=True):
            for finding in watch.look(stats, own, progress=progress, steps=steps):
                found.append(
                    replace(finding, message=f"{prefix.rstrip('/')}: {finding.message}" if prefix else finding.message)
                )
        return found


def prefix_of(role: Role, roles: Sequence[Role]) -> str:
    """Return what stands before the names of a role's own stats, such as logits/real and health/diversity."""
    return f"{role.generator}/" if len(roles) > 1 else ""


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
    """Remembers ticks, and says what is wrong with one generator and its judge at the newest."""

    def __init__(self, role: Role, prefix: str = "") -> None:
        """Take `prefix`: of the stats that the role calls its own; "" where a training has one role."""
        self._role, self._prefix, self._at_chance = role, prefix, role.at_chance
        self._losses: deque[float] = deque(maxlen=SWINGING)
        self._gradients: deque[Mapping[str, float]] = deque(maxlen=HISTORY)
        self._rows = dict.fromkeys(RULES, 0)
        self._was_diverse = False

    @property
    def is_worried(self) -> bool:
        """Return whether a rule of collapse is broken, if not for long enough to be sure."""
        return any(row for rule, row in self._rows.items() if rule.finding == "mode_collapse")

    def look(
        self, stats: Mapping[str, float], seen: SampleStatistics | None, *, progress: float, steps: int
    ) -> list[Finding]:
        """Return the findings. progress: share of the training that is done."""
        signals = self.signals(stats, seen, mature=is_mature(progress, steps))
        for rule in RULES:
            if rule.signal in signals:
                self._rows[rule] = self._rows[rule] + 1 if rule.breaks(signals[rule.signal]) else 0
        broken = [rule for rule in RULES if rule.signal in signals and self._rows[rule] >= rule.ticks]
        found = {rule.finding: _told(rule, signals[rule.signal]) for rule in reversed(broken)}
        return list(reversed(found.values()))

    def signals(self, stats: Mapping[str, float], seen: SampleStatistics | None, *, mature: bool) -> dict[str, float]:
        """Return what the rules look at, as far as it is known at this tick; then remembers the tick."""
        norms = {name: stats[name] for name in self._gradient_norms if name in stats}
        relative = {name: norm / usual for name, norm in norms.items() if (usual := self._usual(name))}
        # A logit of 100 is as sure as floating point can tell; a critic's values know no such scale.
        judged = "critic" if self._at_chance is None else "logits"
        logits = [abs(value) for name, value in stats.items() if name.startswith(f"{self._prefix}logits/")]
        signals = {judged: max(logits, default=0.0)}
        if relative:
            signals["gradient"] = max(relative.values())
        if (own := f"grad_norm/{self._role.generator}") in relative:
            signals["generator_gradient"] = relative[own]
        if self._at_chance and (loss := f"loss/{self._role.discriminator_phase}") in stats:
            signals["discriminator_loss"] = stats[loss] / self._at_chance
        self._gradients.append(norms)
        return signals | self._swing(stats) | self._of(seen, mature)

    def _swing(self, stats: Mapping[str, float]) -> dict[str, float]:
        """Return how far the generator's loss goes up and down, where it does so in turns, as a share of its size.

        Losses that lie around 0, such as hinge's, have none: the discriminator's at chance stands in, as the larger. A
        critic's values know no size at all.
        """
        loss = f"loss/{self._role.generator_phase}"
        if self._at_chance is None or loss not in stats:
            return {}
        self._losses.append(stats[loss])
        steps = [after - before for before, after in pairwise(self._losses)]
        turns = sum(one * other < 0 for one, other in pairwise(steps))
        if len(self._losses) < SWINGING or turns < TURNS * (SWINGING - 2):
            return {"swing": 0.0}
        size = max(sum(map(abs, self._losses)) / len(self._losses), self._at_chance)
        return {"swing": sum(map(abs, steps)) / len(steps) / size}

    def _of(self, seen: SampleStatistics | None, mature: bool) -> dict[str, float]:
        """Return nothing as long as samples of an untrained generator would look alike, too."""
        if seen is None:
            return {}
        self._was_diverse |= seen.diversity > DIVERSE and seen.duplicates < SINGLE and seen.reach > WIDE
        return seen.known() if self._was_diverse or mature else {}

    @property
    def _gradient_norms(self) -> list[str]:
        networks = (self._role.generator, self._role.discriminator)
        return [f"grad_norm/{network}" for network in networks if network is not None]

    def _usual(self, name: str) -> float | None:
        """Return the median of what was seen; None at first."""
        seen = [norms[name] for norms in self._gradients if name in norms]
        return median(seen) if len(seen) >= KNOWN else None


def _told(rule: Rule, value: float) -> Finding:
    side = "above" if rule.above else "below"
    message = f"{rule.message} ({rule.signal} {value:.3g}, {side} {rule.limit:g})"
    return Finding(name=rule.finding, message=message, evidence={rule.signal: value, "limit": rule.limit})


def is_mature(progress: float, steps: int) -> bool:
    """Return whether samples that are alike are no sign of an untrained generator any more."""
    return progress >= MATURE and steps >= MATURE_STEPS


def not_finite(stats: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in stats.items() if not isfinite(value)}


def reaction(findings: Iterable[Finding], policy: Mapping[str, str | None]) -> tuple[Reaction, Finding | None]:
    """Return the reaction, and the finding that asks for it; without a policy only what is not finite fails."""
    for finding in findings:
        if finding.name == "divergence":
            default = "fail" if not_finite(finding.evidence) else "warn"
            if (chosen := policy.get("on_divergence") or default) != "warn":
                return cast(Reaction, chosen), finding
        if finding.name == "mode_collapse" and (chosen := policy.get("on_collapse") or "warn") != "warn":
            return cast(Reaction, chosen), finding
    return "warn", None


def _rebuild(stats: dict[str, float], examples: int, steps: int, reason: str) -> Diverged:
    return Diverged(stats, examples=examples, steps=steps, reason=reason)
