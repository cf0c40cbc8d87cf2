"""The rows of the kinds name what is there; both sides of the wire, and `trainers`, say the same words."""

from dataclasses import fields
from typing import get_args

import pytest

from jobs import kinds, wire
from jobs.kinds import Kind
from jobs.storage import layout
from trainers import checkpoint, hooks
from trainers.generation import sampling
from trainers.monitoring.health import Finding

RUNNABLE = [kind for kind in kinds.KINDS.values() if kind.driver]


@pytest.mark.parametrize("kind", RUNNABLE, ids=lambda kind: kind.name)
def test_a_row_names_fields_of_its_messages(kind: Kind) -> None:
    told = set(kind.tick.model_fields)
    assert {kind.unit, f"total_{kind.unit}", f"{kind.unit}_per_second", *kind.moves, *kind.sums} <= told
    assert {kind.unit, *kind.places} <= set(kind.summary.model_fields)
    assert set(kind.working) <= set(get_args(kind.tick.model_fields["phase"].annotation))


@pytest.mark.parametrize("kind", RUNNABLE, ids=lambda kind: kind.name)
def test_a_row_s_driver_can_be_run(kind: Kind) -> None:
    assert callable(kind.load_driver().run)


def test_names_are_not_changed_between_the_loop_and_the_wire() -> None:
    assert {field.name for field in fields(hooks.Tick)} <= set(wire.TrainTick.model_fields)
    assert {field.name for field in fields(Finding)} == set(wire.Finding.model_fields)


def test_what_the_loop_understands_is_a_command() -> None:
    assert set(hooks.COMMANDS) == set(wire.Command) - {wire.Command.STALE}


def test_files_have_one_name_on_both_sides() -> None:
    assert (layout.COMMIT, layout.STATE) == (checkpoint.COMMIT, checkpoint.STATE)
    assert f"{checkpoint.AVERAGE}{sampling.weights_file('generator')}" == layout.AVERAGE
    assert (sampling.weights_file("generator"), sampling.CONFIG) == (layout.WEIGHTS, layout.CONFIG)


def test_what_json_does_not_have_becomes_null_when_a_message_is_made() -> None:
    tick = wire.TrainTick(
        examples=1, steps=1, total_examples=2, seconds=1.0, examples_per_second=float("inf"),
        stats={"loss/generator": float("nan")}, findings=({"name": "n", "evidence": {"x": float("nan")}},),
    )  # fmt: skip
    assert (tick.examples_per_second, tick.stats, tick.findings[0].evidence) == (
        None,
        {"loss/generator": None},
        {"x": None},
    )


def test_a_claim_reads_its_spec_and_shows_no_secret() -> None:
    spec = {"kind": "generate", "name": "s", "model": {"from": "f"}, "samples": 3}
    claim = wire.Claim(
        attempt_id="j-1", number=1, token="a secret", project="p", job_id="j", job_name="s", kind="generate", spec=spec,
        workers=1, cpus_per_worker=1, gpus_per_worker=0, store={"uri": "s", "env": {"KEY": "a secret"}},
        heartbeat_seconds=5, url="http://here",
    )  # fmt: skip
    assert wire.read_claim(claim.model_dump(mode="json")) == claim
    assert kinds.of(claim.spec) is kinds.GENERATE
    assert "a secret" not in repr(claim)


def test_a_claim_of_another_version_names_both() -> None:
    with pytest.raises(
        wire.Mismatch, match=r"this driver speaks wire version \d+, the server 99; .*unknown field colour"
    ):
        wire.read_claim({"version": 99, "colour": "red"})
