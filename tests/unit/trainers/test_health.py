"""Illnesses planted into a training are named while it runs, rollback recovers, and healthy seeds raise no alarm."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from test_equal_workers import StopAt, digest
from test_training_loop import Recorder
from trainers_gang import Gang

from tests.support.planted import Deaf, DeafOnce, Spoiled, SpoiledOnce
from trainers.data.packed import PackedData, open_packed
from trainers.families.dcgan import DCGAN
from trainers.gan.family import Role
from trainers.hooks import NoHooks
from trainers.loop import MAX_ROLLBACKS, train
from trainers.monitoring.health import Collapsed, Diverged, Finding, SampleStatistics, Watch, Watches, reaction
from trainers.monitoring.sample_stats import compared, features
from trainers.settings import Settings

TinySettings = Callable[..., Settings]
WELL = {"logits/real": 0.5, "logits/fake": -0.5, "loss/discriminator": 1.0, "grad_norm/generator": 1.0}
LEARNING = DCGAN.tiny()
LONG = {"examples": 24 * 60, "checkpoint_every": 24 * 10, "grid_every": 10**6, "tick_seconds": 0.02}


def role(at_chance: float | None, generator: str = "generator") -> Role:
    return Role(
        generator=generator,
        generator_phase=generator,
        discriminator="discriminator",
        discriminator_phase="discriminator",
        sampler="samples",
        at_chance=at_chance,
    )


def watches(at_chance: float | None) -> Watches:
    return Watches([role(at_chance)])


def watched(*ticks: dict[str, float], seen: SampleStatistics | None = None, progress: float = 0.5) -> list[str]:
    """Names found at the last of these ticks, after some healthy ones."""
    watch = watches(at_chance=1.386)
    found: list[Finding] = []
    for tick in [WELL] * 5 + list(ticks):
        found = watch.look({**WELL, **tick}, [seen], progress=progress, steps=500)
    return [finding.name for finding in found]


class TestWatch:
    def test_a_healthy_tick_has_no_findings(self):
        assert watched({}) == []

    def test_not_finite(self):
        assert watched({"loss/generator": float("nan")}) == ["divergence"]

    @pytest.mark.parametrize("huge", [{"logits/real": -1e3}, {"grad_norm/generator": 1e5}])
    def test_exploded(self, huge: dict):
        assert watched(huge, huge, huge) == ["divergence"]

    def test_a_critic_knows_no_scale_but_not_just_any(self):
        values = [{"logits/real": size} for size in (1e3, 1e5)]
        watch = Watch(role(None))
        found = [watch.look(value, None, progress=0.5, steps=500) for value in values for _ in range(3)]
        assert [[finding.name for finding in each] for each in found] == [[]] * 5 + [["divergence"]]

    def test_a_discriminator_that_is_never_wrong(self):
        sure = {"loss/discriminator": 0.001}
        assert watched(sure, sure) == []
        assert watched(sure, sure, sure) == ["discriminator_overpowering"]

    def test_a_gradient_that_is_lost(self):
        assert watched(*[{"grad_norm/generator": 1e-5}] * 3) == ["vanishing_gradient"]

    def test_players_that_chase_each_other(self):
        swing = [{"loss/generator": (-1.0) ** n * 5} for n in range(20)]
        assert watched(*swing) == ["oscillation"]
        assert watched(*[{"loss/generator": 5 + (-1.0) ** n} for n in range(20)]) == []

    @pytest.mark.parametrize(
        "seen",
        [
            SampleStatistics(diversity=0.1, duplicates=0, reach=1),
            SampleStatistics(diversity=1, duplicates=0.9, reach=1),
            SampleStatistics(diversity=1, duplicates=0, reach=0.1),
            SampleStatistics(diversity=1, duplicates=0, reach=0.4, class_entropy=0.2),
        ],
    )
    def test_samples_that_are_alike(self, seen: SampleStatistics):
        assert watched(seen=seen) == ["mode_collapse"]
        assert watched(seen=seen, progress=0.1) == []  # untrained ones are alike too

    def test_the_evidence_is_named(self):
        (finding,) = watches(None).look({"loss/generator": float("inf")}, [None], progress=0.0, steps=1)
        assert finding.evidence == {"loss/generator": float("inf")}


class TestReaction:
    NOT_FINITE = Finding(name="divergence", message="", evidence={"loss": float("nan")})
    HUGE = Finding(name="divergence", message="", evidence={"logits/real": 1e6})
    ALIKE = Finding(name="mode_collapse", message="")

    @pytest.mark.parametrize(
        ("finding", "policy", "wanted"),
        [
            (NOT_FINITE, {}, "fail"),
            (NOT_FINITE, {"on_divergence": "warn"}, "warn"),
            (HUGE, {}, "warn"),
            (HUGE, {"on_divergence": "rollback"}, "rollback"),
            (ALIKE, {}, "warn"),
            (ALIKE, {"on_collapse": "fail", "on_divergence": "rollback"}, "fail"),
            (Finding(name="oscillation", message=""), {"on_collapse": "fail", "on_divergence": "fail"}, "warn"),
        ],
    )
    def test_policy(self, finding: Finding, policy: dict, wanted: str):
        assert reaction([finding], policy)[0] == wanted


def test_a_seen_of_equal_samples_and_of_real_ones():
    torch.manual_seed(0)
    reals = features(torch.rand(32, 3, 16, 16) * 2 - 1)
    same = compared(reals[:1].expand(32, -1), reals)
    assert (round(same.diversity, 5), same.duplicates) == (0, 1)
    assert same.reach < 0.2
    own = compared(reals[1::2], reals)
    assert (own.duplicates, own.reach) == (0, 1)
    assert own.diversity == pytest.approx(1, abs=0.05)


def test_heaps_of_real_points_are_no_duplicates_but_one_heap_alone_is_a_collapse():
    heaps = torch.eye(8).repeat_interleave(16, 0)  # 128 points in 8 places
    fine, alone = compared(heaps[::2] + 1e-4 * torch.randn(64, 8), heaps), compared(heaps[:1].expand(64, -1), heaps)
    assert (fine.duplicates, fine.reach) == (0, 1)
    assert alone.reach == 1 / 8


def test_samples_of_few_classes_are_told_by_the_nearest_reals():
    labels = torch.arange(128) // 2 % 4  # of anchors and of what they are held to alike
    reals = 10 * torch.nn.functional.one_hot(labels, 8).float() + 0.1 * torch.randn(128, 8)
    every, one = (compared(reals[chosen], reals, labels) for chosen in (labels >= 0, labels == 2))
    assert every.class_entropy == pytest.approx(1)
    assert one.class_entropy == 0
    assert compared(reals, reals, torch.zeros_like(labels)).class_entropy is None
    assert "health/class_entropy" not in compared(reals, reals).stats()


def findings(recorder: Recorder) -> list[str]:
    return [finding.name for tick in recorder.ticks for finding in tick.findings]


def test_rollback_recovers_and_says_so(tiny: TinySettings, shapes16: PackedData, workspace: Path):
    hooks = Recorder()
    settings = tiny(**LONG, family_object=SpoiledOnce, health={"on_divergence": "rollback"})
    outcome = train(settings, shapes16, workspace=workspace, resume=None, hooks=hooks)
    assert outcome.status == "finished"
    assert {"divergence", "rollback"} <= set(findings(hooks))
    assert hooks.ticks[-1].stats["rollbacks"] == 1
    assert hooks.ticks[-1].stats["lr/generator"] == pytest.approx(2e-4 / 4)
    (note,) = [finding for tick in hooks.ticks for finding in tick.findings if finding.name == "rollback"]
    assert note.evidence["to"] == 480
    assert "went back" in note.message
    lines = [json.loads(line) for line in (workspace / "stats.jsonl").read_text().splitlines()]
    assert any(line["findings"] for line in lines)


def test_rollback_recovers_from_a_collapse(tiny: TinySettings, shapes16: PackedData, workspace: Path):
    hooks = Recorder()
    longer = LONG | {"examples": 24 * 280, "checkpoint_every": 24 * 50}
    settings = tiny(**longer, family_object=DeafOnce, params=LEARNING, health={"on_collapse": "rollback"})
    outcome = train(settings, shapes16, workspace=workspace, resume=None, hooks=hooks)
    assert outcome.status == "finished"
    (note,) = [finding for tick in hooks.ticks for finding in tick.findings if finding.name == "rollback"]
    assert "mode_collapse" in note.message
    assert note.evidence["to"] == 24 * 200  # the newest checkpoint before it
    assert findings(hooks)[-1] == "rollback"


def test_rollbacks_are_bounded(tiny: TinySettings, shapes16: PackedData, workspace: Path):
    hooks = Recorder()
    settings = tiny(family_object=Spoiled, health={"on_divergence": "rollback"})
    with pytest.raises(Diverged, match=f"{MAX_ROLLBACKS} rollbacks did not help"):
        train(settings, shapes16, workspace=workspace, resume=None, hooks=hooks)
    assert findings(hooks).count("rollback") == MAX_ROLLBACKS


def test_a_resume_after_a_rollback_is_exact(tiny: TinySettings, shapes16: PackedData, tmp_path: Path):
    settings = tiny(**LONG, family_object=SpoiledOnce, health={"on_divergence": "rollback"})
    whole = train(settings, shapes16, workspace=tmp_path / "1", resume=None, hooks=NoHooks())
    stopped = train(settings, shapes16, workspace=tmp_path / "2", resume=None, hooks=StopAt(24 * 30))
    again = train(settings, shapes16, workspace=tmp_path / "3", resume=stopped.checkpoint, hooks=NoHooks())
    assert digest(again.checkpoint) == digest(whole.checkpoint)  # type: ignore[arg-type]


def rank_main(rank: int, settings: Settings, data: Path, workspace: Path) -> float:
    hooks = Recorder()
    train(settings, open_packed(data), workspace=workspace / str(rank), resume=None, hooks=hooks)
    return hooks.ticks[-1].stats["rollbacks"] if hooks.ticks else -1.0


def test_all_ranks_go_back_together(gang: Gang, tiny: TinySettings, shapes16: PackedData, tmp_path: Path):
    settings = tiny(**LONG, family_object=SpoiledOnce, health={"on_divergence": "rollback"})
    assert gang.run(2, rank_main, settings, shapes16.folder, tmp_path) == [1.0, -1.0]


def test_a_collapsed_generator_is_named(tiny: TinySettings, shapes16: PackedData, tmp_path: Path):
    hooks = Recorder()
    longer = LONG | {"examples": 24 * 260}
    settings = tiny(**longer, family_object=Deaf)
    train(settings, shapes16, workspace=tmp_path / "1", resume=None, hooks=hooks)
    assert "mode_collapse" in findings(hooks)
    with pytest.raises(Collapsed, match="mode_collapse"):
        train(
            tiny(**longer, family_object=Deaf, health={"on_collapse": "fail"}),
            shapes16,
            workspace=tmp_path / "2",
            resume=None,
            hooks=NoHooks(),
        )


@pytest.mark.parametrize(
    ("params", "named"),
    [
        ({"generator": {"lr": 0.02}, "discriminator": {"lr": 5.0, "norm": "none"}}, "divergence"),
        ({"generator": {"lr": 1e-7}, "discriminator": {"lr": 2e-3, "steps": 4}}, "discriminator_overpowering"),
    ],
)
def test_a_game_out_of_balance_is_named(
    tiny: TinySettings, shapes16: PackedData, workspace: Path, params: dict[str, Any], named: str
):
    hooks = Recorder()
    settings = tiny(**(LONG | {"examples": 24 * 160}), params={"base_channels": 8, "latent": {"dim": 16}, **params})
    train(settings, shapes16, workspace=workspace, resume=None, hooks=hooks)
    assert named in findings(hooks)


@pytest.mark.parametrize("seed", [0, 1])
def test_healthy_trainings_raise_no_alarm(tiny: TinySettings, shapes16: PackedData, workspace: Path, seed: int):
    hooks = Recorder()
    settings = tiny(**(LONG | {"examples": 24 * 300}), params=LEARNING, seed=seed)
    train(settings, shapes16, workspace=workspace, resume=None, hooks=hooks)
    assert findings(hooks) == []


def test_policies_are_checked(tiny: TinySettings):
    with pytest.raises(ValueError, match=r"health\.on_collapse is 'stop'; it is one of warn, rollback, fail"):
        tiny(health={"on_collapse": "stop"})
