"""Specs from YAML: what is read, and how each mistake is told."""

from pathlib import Path

import jsonschema
import pytest

from jobs.specs import check, load, spec, strict_yaml
from jobs.specs.errors import SpecError
from jobs.specs.schema import json_schema
from tests.support import plugin

TRAIN = """\
kind: train
name: shirts
model: {family: dcgan}
data: {source: fashion-mnist, resolution: 32}
"""


def problems(text: str, **options: object) -> list[str]:
    with pytest.raises(SpecError) as caught:
        load.load_text(text, file="x.yaml", **options)  # type: ignore[arg-type]
    return str(caught.value).splitlines()


def test_the_shortest_spec_is_enough() -> None:
    (job,) = load.load_text(TRAIN)
    assert isinstance(job, spec.TrainJob)
    assert (job.train.batch_size, job.train.group_size, job.resources.workers, job.priority) == (128, 32, 1, 50)


def test_quantities_are_read_in_their_units() -> None:
    (job,) = load.load_text(
        TRAIN + "train: {examples: 2M, checkpoint: {every: 100k}}\ntimeout: 12h\nretry: {backoff: 90s}"
    )
    assert isinstance(job, spec.TrainJob)
    assert (job.train.examples, job.train.checkpoint.every, job.timeout, job.retry.backoff) == (
        2_000_000,
        100_000,
        43_200,
        90,
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (TRAIN.replace("dcgan", "dcgna"), "x.yaml:3: model.family: unknown 'dcgna'; did you mean 'dcgan'?"),
        (TRAIN.replace("fashion-mnist", "fashion-mnits"), "x.yaml:4: data.source: unknown 'fashion-mnits'; a path begins with ./ or /; did you mean 'fashion-mnist'?"),
        (TRAIN.replace("kind: train", "kind: trian"), "x.yaml:1: kind: unknown 'trian'; did you mean 'train'?"),
        (TRAIN.replace("resolution", "resoluton"), "x.yaml:4: data.resoluton: unknown field; did you mean 'resolution'?"),
        (TRAIN + "tran: {}", "x.yaml:5: tran: unknown field; did you mean 'train'?"),
        (TRAIN + "train: {batch_size: true}", "x.yaml:5: train.batch_size: should be a valid integer (got True)"),
        (TRAIN + 'train: {batch_size: "64"}', "x.yaml:5: train.batch_size: should be a valid integer (got '64')"),
        (TRAIN + "train: {examples: 12q}", "x.yaml:5: train.examples: a count is expected, such as 50000, 50k or 2M"),
        (TRAIN + "timeout: soon", "x.yaml:5: timeout: a duration is expected, such as 90s, 10m, 2h or 7d"),
        (TRAIN.replace("shirts", "My Shirts"), "x.yaml:2: name: a name is 1 to 50 of a-z, 0-9 and - (got 'My Shirts')"),
        (TRAIN.replace("name: shirts\n", ""), "x.yaml:1: name: is missing"),
        (TRAIN + "train: {batch_size: 48}", "x.yaml:5: train: batch_size 48 is not a multiple of group 32"),
        (TRAIN + "resources: {workers: 3}", "x.yaml:5: resources.workers: 3 workers cannot share 4 groups of 32 evenly"),
        (TRAIN.replace("{family: dcgan}", "{family: dcgan, params: {base_chanels: 3}}"),
         "x.yaml:3: model.params.base_chanels: unknown field; did you mean 'base_channels'?"),
        (TRAIN + "model: {family: dcgan}", "x.yaml:5: model: given twice; first on line 3"),
        (TRAIN + "code: ./my_gan", "x.yaml:5: code: not supported yet"),
        (TRAIN + "gate: {}", "x.yaml:5: gate: unknown field"),
        (TRAIN + "resources: {workers: {min: 3, max: 3}}", "x.yaml:5: resources.workers: 3 workers cannot share 4 groups"),
        ("", "x.yaml: holds no job"),
        ("- 1", "x.yaml:1: a job is a mapping"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_line_field_value_and_way_out(text: str, said: str) -> None:
    assert any(line.startswith(said) for line in problems(text)), problems(text)


def test_every_problem_of_every_document_comes_at_once() -> None:
    told = problems(TRAIN.replace("dcgan", "x") + "---\nkind: generate\nname: y\nmodel: {from: shirts}\nsampels: 3\n")
    assert len(told) == 2
    assert any(line.startswith("x.yaml:9: sampels: unknown field; did you mean 'samples'?") for line in told)


def test_a_name_stands_once_in_a_file() -> None:
    assert problems(TRAIN + "---\n" + TRAIN) == ["x.yaml:7: name: 'shirts' is already document 1 of the file"]


def test_parameters_replace_whole_scalars_and_parts_of_strings() -> None:
    text = (
        TRAIN.replace("shirts", "shirts-${params.size}") + "params: {size: 16}\ntrain:\n  batch_size: ${params.size}\n"
    )
    (job,) = load.load_text(text, parameters={"size": "64"})
    assert isinstance(job, spec.TrainJob)
    assert (job.name, job.train.batch_size) == ("shirts-64", 64)


def test_an_unknown_parameter_is_refused() -> None:
    assert "did you mean 'size'?" in problems(TRAIN + "params: {size: 1}", parameters={"siez": "2"})[0]
    assert "unknown reference ${params.nope}" in problems(TRAIN + "labels: {a: '${params.nope}'}")[0]


def test_relative_paths_start_at_the_file(tmp_path: Path) -> None:
    file = tmp_path / "spec.yaml"
    file.write_text(TRAIN.replace("fashion-mnist", "./pictures"))
    (job,) = load.load_file(file)
    assert isinstance(job, spec.TrainJob)
    assert job.data.source == str(tmp_path / "pictures")


def test_a_spec_survives_its_way_through_json() -> None:
    for example in sorted(load.EXAMPLES.glob("*.yaml")):
        for job in load.load_file(example):
            assert spec.parse(spec.dump(job)) == job


def test_from_implies_a_need() -> None:
    text = "kind: generate\nname: y\nmodel: {from: shirts}\nsamples: 10\nneeds: [other, {name: third, when: finished}]"
    (job,) = load.load_text(text)
    assert [(need.name, need.when) for need in spec.upstream(job)] == [
        ("other", "succeeded"), ("third", "finished"), ("shirts", "succeeded"),
    ]  # fmt: skip


def test_the_json_schema_is_draft_7_and_takes_the_examples() -> None:
    schema = json_schema()
    jsonschema.Draft7Validator.check_schema(schema)
    for example in load.EXAMPLES.glob("*.yaml"):
        for document in strict_yaml.read(example.read_text(), example.name):
            jsonschema.validate(document.value, schema, cls=jsonschema.Draft7Validator)


def test_a_file_that_is_not_there_names_the_examples() -> None:
    with pytest.raises(SpecError, match=r"no such file, and no example of that name; examples: .*quickstart"):
        load.find("nowhere.yaml")


def test_a_family_of_an_installed_plugin_is_checked_like_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(plugin.FOLDER))
    monkeypatch.setattr(check, "families", check.families.__wrapped__)  # past its cache, and back again afterwards
    plugged = TRAIN.replace("dcgan", "spots")
    assert load.load_text(plugged)
    assert problems(plugged.replace("spots", "spots, params: {widht: 3}")) == [
        "x.yaml:3: model.params.widht: unknown field; did you mean 'width'?"
    ]


@pytest.mark.parametrize(("family", "side"), [("sagan", 256), ("stylegan2", 48), ("dcgan", 4096)])
def test_a_size_that_a_family_cannot_make_is_told_before_anything_is_packed(family: str, side: int) -> None:
    text = f"kind: train\nname: x\nmodel: {{family: {family}}}\ndata: {{source: fashion-mnist, resolution: {side}}}\n"
    with pytest.raises(SpecError, match=rf"<spec>:4: data\.resolution: {family} makes pictures of 16, 32") as told:
        load.load_text(text)
    assert f"(got {side})" in str(told.value)


def test_dense_networks_make_any_size() -> None:
    text = "kind: train\nname: x\nmodel: {family: gan}\ndata: {source: fashion-mnist, resolution: 20}\n"
    assert load.load_text(text)
