"""submit and validate: several files, folders, fields replaced on the command line, waiting for the end."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from commands import Commands
from sqlalchemy import select

from orchestrator.db.tables import sources

Spec = Callable[..., str]


def jobs_of(ganworks: Commands) -> dict[str, dict]:
    return {job["name"]: job for job in json.loads(ganworks("list", "-o", "json").out)["jobs"]}


def test_several_files_and_a_folder_are_one_submission(ganworks: Commands, spec: Spec, tmp_path: Path) -> None:
    one = spec("one.yaml", "a")
    spec("folder/2.yaml", "c", "d")
    spec("folder/1.yml", "b")
    (tmp_path / "folder" / "readme.txt").write_text("no spec")
    ran = ganworks("submit", one, str(tmp_path / "folder"))
    assert ran.code == 0
    assert [line.split()[0] for line in ran.lines] == ["NAME", "a", "b", "c", "d"]
    assert len(jobs_of(ganworks)) == 4


def test_of_several_files_all_are_taken_or_none(ganworks: Commands, spec: Spec) -> None:
    good, bad = spec("good.yaml", "a"), spec("bad.yaml", "b", queue="Not-A-Name")
    ran = ganworks("submit", good, bad)
    assert ran.code == 2
    assert "bad.yaml" in ran.err
    assert jobs_of(ganworks) == {}


def test_every_wrong_file_is_told(ganworks: Commands, spec: Spec) -> None:
    ran = ganworks("validate", spec("1.yaml", "A"), spec("2.yaml", "b", colour="red"))
    assert "1.yaml:2: name" in ran.err
    assert "2.yaml:5: colour: unknown field" in ran.err


def test_one_name_in_two_files_names_both(ganworks: Commands, spec: Spec) -> None:
    ran = ganworks("validate", spec("1.yaml", "a"), spec("2.yaml", "a"))
    assert ran.code == 2
    assert "2.yaml:2: name: 'a' is the name of document 1 too" in ran.err


def test_a_folder_without_specs_is_told(ganworks: Commands, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "is a folder without a .yaml file" in ganworks("submit", str(tmp_path / "empty")).err


def test_what_was_submitted_is_kept_as_it_was_written(ganworks: Commands, spec: Spec) -> None:
    ganworks("submit", spec("1.yaml", "a"), spec("2.yaml", "b"))
    with ganworks.bench.server.database.read() as connection:
        (text,) = connection.execute(select(sources.c.text)).scalars()
    assert "# 1.yaml\nkind: train\nname: a" in text
    assert "# 2.yaml\nkind: train\nname: b" in text


@pytest.mark.parametrize(
    ("fields", "place", "value"),
    [
        (["--set", "train.batch_size=96"], ("train", "batch_size"), 96),
        (["--set", "train.batch_size=96", "--set", "train.group=24"], ("train", "group"), 24),
        (["--set", "priority=90"], ("priority",), 90),
        (["--set", "labels.team=vision"], ("labels", "team"), "vision"),
        (["--set", "name=other"], ("name",), "other"),
        (["--set", "model.params.latent.dim=64"], ("model", "params", "latent", "dim"), 64),
    ],
)
def test_a_field_is_replaced(ganworks: Commands, spec: Spec, fields: list[str], place: tuple, value: object) -> None:
    ran = ganworks("validate", spec("1.yaml", "a"), *fields, "-o", "json")
    assert ran.code == 0, ran.err
    found = json.loads(ran.out)[0]
    for step in place:
        found = found[step]
    assert found == value


def test_a_field_is_replaced_in_the_jobs_that_have_it(ganworks: Commands, tmp_path: Path) -> None:
    path = tmp_path / "two.yaml"
    path.write_text(
        "kind: train\nname: a\nmodel: {family: dcgan}\ndata: {source: fashion-mnist}\ntrain: {batch_size: 32}\n"
        "---\nkind: generate\nname: b\nmodel: {from: a}\nsamples: 10\n"
    )
    ran = ganworks("validate", str(path), "--set", "samples=20", "--set", "train.batch_size=64", "-o", "json")
    train, generate = json.loads(ran.out)
    assert (train["train"]["batch_size"], generate["samples"]) == (64, 20)
    assert "samples" not in train


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ("train.bach_size=1", "unknown field; did you mean 'batch_size'?"),
        ("train.batch_size=many", "train.batch_size"),
        ("name.first=x", "'name' is 'a', not a mapping"),
        ("train..x=1", "--set train..x=…"),
        ("batch_size", "--set batch_size: NAME=VALUE is expected"),
        ("needs.3=x", "--set needs.3=…"),
    ],
)
def test_a_field_that_cannot_be_replaced_is_told(ganworks: Commands, spec: Spec, field: str, message: str) -> None:
    ran = ganworks("validate", spec("1.yaml", "a", needs="[]"), "--set", field)
    assert ran.code == 2
    assert message in ran.err


def test_a_field_that_no_job_has_is_told_with_what_is_near(ganworks: Commands, spec: Spec) -> None:
    ran = ganworks("validate", spec("1.yaml", "a", "b", priority="5"), "--set", "priorty=90")
    assert "no document has 'priorty'; did you mean 'priority'?" in ran.err


def test_names_alone_for_scripts(ganworks: Commands, spec: Spec) -> None:
    assert ganworks("submit", spec("1.yaml", "a", "b"), "-o", "name").lines == ["a", "b"]
    assert ganworks("validate", spec("1.yaml", "a", "b"), "-o", "name").lines == ["a", "b"]


@pytest.mark.parametrize(("outcome", "code"), [("succeeded", 0), ("failed", 1)])
def test_waiting_ends_as_the_job_does(ganworks: Commands, spec: Spec, outcome: str, code: int) -> None:
    bench = ganworks.bench
    waiting = ganworks.beside("submit", spec("1.yaml", "a", retry="{limit: 0}"), "--wait")
    while not (jobs := bench.get("/api/v1/jobs").json()["jobs"]):
        assert not waiting.done()
    bench.step()
    driver = bench.driver(f"{jobs[0]['id']}-1")
    assert not waiting.done()
    driver.result(outcome, **({} if outcome == "succeeded" else {"failure": "user_code", "message": "boom"}))
    bench.step(3)
    assert waiting.result() == code


def test_a_dry_run_starts_nothing(ganworks: Commands, spec: Spec) -> None:
    ran = ganworks("submit", spec("1.yaml", "a"), "--dry-run")
    assert "1 job would be accepted; nothing was started" in ran.err
    assert jobs_of(ganworks) == {}


ALONE = "kind: train\nname: a\nmodel: {family: dcgan}\ndata: {source: fashion-mnist}\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (ALONE + "schedule:\n  cron: '* * *'\n", "1.yaml:6: schedule.cron: five fields are expected"),
        (ALONE + "schedule:\n  cron: '0 0 30 2 *'\n", "1.yaml:6: schedule.cron: "),
        (
            ALONE + "schedule:\n  cron: '0 0 * * *'\n  time_zone: Europe/Zurch\n",
            "1.yaml:7: schedule.time_zone: unknown 'Europe/Zurch'; did you mean 'Europe/Zurich'?",
        ),
        (
            ALONE + "needs: [{name: b}]\n---\n" + ALONE.replace("name: a", "name: b") + "needs: [{name: a}]\n",
            "jobs need each other in a circle: ",
        ),
        (
            ALONE + "retry:\n  rules:\n  - {failure: user_cod, action: fail}\n",
            "1.yaml:7: retry.rules.0.failure: unknown 'user_cod'; did you mean 'user_code'?",
        ),
        (
            ALONE.replace("name: a", "name: 20260101t000000z-abcdef"),
            "1.yaml:2: name: '20260101t000000z-abcdef' looks like",
        ),
        (ALONE + "matrix: {params.n: []}\n", "1.yaml:5: matrix"),
        (
            ALONE + "---\nkind: generate\nname: b\nmodel: {from: a}\nsamples: 10\nsampling:\n  classes: balanced\n",
            "sampling.classes: dcgan, which a trains, knows no classes; families that do: biggan, cgan",
        ),
        (ALONE.replace("fashion-mnist", "fashion-mnits"), "1.yaml:4: data.source: "),
        (ALONE.replace("dcgan", "dcgna"), "1.yaml:3: model.family: unknown 'dcgna'; did you mean 'dcgan'?"),
    ],
)
def test_validate_says_what_the_server_would(ganworks: Commands, tmp_path: Path, text: str, message: str) -> None:
    """With the file and the line on which it stands; and the server, asked over the API, says the same of each."""
    path = tmp_path / "1.yaml"
    path.write_text(text)
    ran = ganworks("validate", str(path))
    assert ran.code == 2
    assert message in ran.err
    documents = [yaml.safe_load(part) for part in text.split("---\n")]
    answer = ganworks.bench.post("/api/v1/jobs", {"documents": documents})
    assert answer.status_code == 422 or answer.status_code == 400
    told = answer.json()["error"]["problems"]
    assert any(problem["message"] in ran.err for problem in told), told
