"""What a spec costs is known before it is paid: every number has its bounds, and what is made of them is arithmetic."""

from pathlib import Path
from typing import Any

import pytest

from jobs import kinds
from jobs.divisors import divisors
from jobs.specs import bounds, check, load, patterns, schema
from jobs.specs.errors import SpecError
from jobs.storage import shards

DOCS = Path(__file__).parents[3] / "docs"
TRAIN = {"kind": "train", "name": "a", "model": {"family": "dcgan"}, "data": {"source": "fashion-mnist"}}
GENERATE = {"kind": "generate", "name": "a", "model": {"from": "b"}, "samples": 100}


def numbers(schema: Any, at: str = "") -> list[tuple[str, Any]]:
    """Every part of a schema that takes a number, by its place."""
    if isinstance(schema, list):
        return [found for n, each in enumerate(schema) for found in numbers(each, f"{at}.{n}")]
    if not isinstance(schema, dict):
        return []
    if "why" in schema:
        return []  # its bounds hold for all that it takes
    here = [(at, schema)] if schema.get("type") in ("number", "integer") and "const" not in schema else []
    return here + [found for name, each in schema.items() for found in numbers(each, f"{at}.{name}")]


def test_every_number_of_the_schema_has_a_least_a_most_and_a_reason() -> None:
    free = (".params", ".matrix")  # plain.check bounds what they hold
    assert [at for at, _ in numbers(_own(schema.json_schema())) if not any(name in at for name in free)] == []


def _own(whole: dict[str, Any]) -> dict[str, Any]:
    """The schema without the families' parameters, which have bounds of their own."""
    own = {name: each for name, each in whole["definitions"].items() if not name.startswith("family_")}
    return {**whole, "definitions": own}


def test_the_table_of_bounds_is_in_the_docs() -> None:
    assert bounds.table() in (DOCS / "bounds.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("document", "field"),
    [
        (GENERATE | {"samples": "9999999999999999999k"}, "samples"),
        (GENERATE | {"samples": "9" * 400}, "samples"),
        (GENERATE | {"samples": 10**9, "output": {"samples_per_shard": 1}}, ""),
        (TRAIN | {"train": {"batch_size": 1_000_000_000_039, "group": 1}}, "train.batch_size"),
        (TRAIN | {"resources": {"workers": {"min": 1, "max": 30_000_000}}}, "resources.workers.max"),
        (TRAIN | {"timeout": "9999999w"}, "timeout"),
        (TRAIN | {"priority": 10**20}, ""),
        (TRAIN | {"params": {"n": 10**400}}, ""),
        (TRAIN | {"params": {"n": float("nan")}}, ""),
        (TRAIN | {"labels": {"a": "\ud800"}}, ""),
        (TRAIN | {"kind": []}, "kind"),
        (TRAIN | {"labels": {"a": "x" * 200_000}}, ""),
        (GENERATE | {"model": {"uri": "s3://bucket/a/../elsewhere"}}, "model"),
        (GENERATE | {"model": {"uri": "/store/a//b"}}, "model"),
        (TRAIN | {"retry": {"rules": [{"log": r"(a)\1", "action": "retry"}]}}, "retry.rules.0"),
        (TRAIN | {"retry": {"rules": [{"log": "(?:" + ".{1000}" * 60 + ")", "action": "retry"}]}}, "retry.rules.0"),
    ],
)
def test_what_cannot_be_paid_is_refused(document: dict[str, Any], field: str) -> None:
    with pytest.raises(SpecError) as caught:
        load.parse(document)
    assert [problem.path for problem in caught.value.problems] == [field]


@pytest.mark.timeout(60)  # by backtracking it takes longer than the universe is old
def test_an_expression_that_backtracks_for_ever_elsewhere_is_linear_here() -> None:
    assert not patterns.found(r"(\w+\s?)+\$", "a" * 100_000)
    assert patterns.found("out of memory$", "CUDA: out of memory")


@pytest.mark.timeout(60)
def test_the_sizes_of_an_elastic_gang_and_its_shards_are_arithmetic() -> None:
    prime = 1_000_003
    job = load.parse(
        TRAIN | {"train": {"batch_size": prime, "group": 1}, "resources": {"workers": {"min": 2, "max": 99_999}}}
    )
    (problem,) = check.problems(job)
    assert "workers that can: 1, 1000003" in problem.message
    wide = load.parse(GENERATE | {"resources": {"workers": {"min": 1, "max": 100_000}}})
    assert kinds.of(wide).sizes(wide) == range(100_000, 0, -1)
    planned = shards.plan(10**15, 7)
    assert (planned[5].start, planned[-1].stop) == (35, 10**15)


def test_divisors() -> None:
    for number in range(1, 200):
        assert list(divisors(number)) == [n for n in range(1, number + 1) if number % n == 0]
