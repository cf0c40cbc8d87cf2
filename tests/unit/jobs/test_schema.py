"""The schema that editors check a file with, and what `ganworks explain` says of a field."""

from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest

from jobs.specs.check import families
from jobs.specs.explain import explain
from jobs.specs.schema import json_schema

TRAIN: dict[str, Any] = {
    "kind": "train", "name": "a", "model": {"family": "dcgan"}, "data": {"source": "fashion-mnist"},
}  # fmt: skip


def wrong(**changes: Any) -> list[str]:
    """What the schema says of a training with these changes."""
    validator = jsonschema.Draft7Validator(json_schema())
    return [error.message for error in validator.iter_errors({**TRAIN, **changes})]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"needs": ["b"]},
        {"needs": [{"name": "b", "when": "finished"}]},
        {"priority": "${params.n}"},
        {"train": {"batch_size": "${params.batch}", "examples": "50k"}},
        {"timeout": "90s"},
        {"model": {"family": "dcgan", "params": {"latent": {"dim": 64}, "penalties": {"r1": {"weight": 5}}}}},
        {"model": {"family": "dcgan", "params": {"base_channels": "${params.width}"}}},
        {"model": {"family": "from-a-plugin", "params": {"anything": 1}}},
        {"name": "samples-${scheduled_time}"},
    ],
)
def test_what_ganworks_takes_an_editor_takes(changes: dict[str, Any]) -> None:
    assert wrong(**changes) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"needs": [3]},
        {"priority": "high"},
        {"priority": 101},
        {"colour": "red"},
        {"timeout": "soon"},
        {"model": {"family": "dcgan", "params": {"latent": {"dims": 64}}}},
        {"model": {"family": "stylegan2", "params": {"base_channels": "wide"}}},
    ],
)
def test_what_ganworks_refuses_an_editor_underlines(changes: dict[str, Any]) -> None:
    assert wrong(**changes)


@pytest.mark.parametrize("family", sorted(families()))
def test_every_family_has_its_own_parameters(family: str) -> None:
    assert wrong(model={"family": family, "params": families()[family]["defaults"]}) == []
    assert wrong(model={"family": family, "params": {"no_such_parameter": 1}})


def fields(schema: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(schema, dict):
        for name, each in schema.get("properties", {}).items():
            yield f"{path}.{name}", each
        for name, each in schema.items():
            yield from fields(each, f"{path}.{name}")
    elif isinstance(schema, list):
        for n, each in enumerate(schema):
            yield from fields(each, f"{path}.{n}")


def test_every_field_says_what_it_is() -> None:
    """Also those of the families, so that an editor and `explain` have something to show."""
    silent = [path for path, each in fields(json_schema()) if not each.get("description") and "const" not in each]
    assert [path for path in silent if "family_" not in path and ".allOf." not in path] == []


def test_a_field_is_explained_with_its_type_default_and_what_is_within() -> None:
    (found,) = explain("train.checkpoint")
    assert found.text == "when one is taken and which are kept"
    assert list(found.fields) == ["every", "keep", "best"]
    assert found.fields["keep"] == "integer from 1 to 1,000 [3]  how many stay, the newest"


def test_a_list_is_explained_by_its_items_and_a_choice_by_all_of_them() -> None:
    assert list(explain("needs")[0].fields) == ["name", "when"]
    assert explain("resources.workers")[0].type == "integer from 1 to 100,000 or mapping"
    assert list(explain("resources.workers")[0].fields) == ["min", "max"]
    assert explain("schedule.catch_up")[0].type == "none or latest or all"


def test_kinds_that_differ_are_explained_each() -> None:
    assert len(explain("data")) == 3
    assert len(explain("")) == 3
    assert [each.text for each in explain("samples", "generate")] == ["how many are made"]


def test_a_familys_parameters_stand_below_its_name() -> None:
    assert "latent" in explain("model.params.dcgan")[0].fields
    assert explain("model.params.dcgan.latent.dim")[0].type.startswith("integer")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("trian", "a job has no field 'trian'; did you mean 'train'?"),
        ("train.batchsize", "train has no field 'batchsize'; did you mean 'batch_size'?"),
        ("model.params.dcgna", "model.params has no field 'dcgna'; did you mean 'dcgan'?"),
        ("train.examples.more", "train.examples has no field 'more'"),
    ],
)
def test_what_there_is_not_names_what_is_near(path: str, message: str) -> None:
    with pytest.raises(LookupError) as error:
        explain(path)
    assert message in str(error.value.args[0])


def test_an_unknown_kind_is_told() -> None:
    with pytest.raises(LookupError, match="unknown kind 'trian'; did you mean 'train'"):
        explain("name", "trian")
