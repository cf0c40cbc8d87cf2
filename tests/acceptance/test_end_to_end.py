"""The main job against S3: YAML in; a GAN trained by DDP on Ray; a data set out; progress seen on the way."""

import hashlib
import io
import json
import re
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families

from tests.support.works import PATIENCE, TheWorks

TEXT = """\
kind: train
name: e2e-train
model: {family: dcgan, params: {base_channels: 8, ema: {half_life: 500}}}
data: {source: fashion-mnist, resolution: 32}
train: {examples: 12k, batch_size: 64, checkpoint: {every: 4k, keep: 2}, grids: {every: 4k, count: 16}}
resources: {workers: 2}
---
kind: generate
name: e2e-samples
model: {from: e2e-train}
samples: 1050
sampling: {seed: 7}
output: {format: webdataset, samples_per_shard: 250}
resources: {workers: 2}
"""


class Run:
    """What one run of the two jobs left, and what was seen while it ran."""

    metrics_while_training: str
    train: dict[str, Any]
    generate: dict[str, Any]
    followed: str


@pytest.fixture(scope="module")
def run(works: TheWorks, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder, run = tmp_path_factory.mktemp("e2e"), Run()
    (folder / "jobs.yaml").write_text(TEXT)
    following = works.start("submit", "--follow", str(folder / "jobs.yaml"))
    works.wait_for(lambda: {"e2e-train", "e2e-samples"} <= {job["name"] for job in works.jobs()})
    jobs = {job["name"]: job["id"] for job in works.jobs()}
    works.wait(jobs["e2e-train"], lambda job: (job["tick"] or {}).get("examples", 0) >= 1000)
    run.metrics_while_training = works.metrics()
    out, err = following.communicate(timeout=PATIENCE)
    assert following.returncode == 0, out + err + works.story(jobs["e2e-train"])
    run.followed = out
    run.train, run.generate = (works.job(jobs[name]) for name in ("e2e-train", "e2e-samples"))
    return run


def prefix(job: dict[str, Any]) -> str:
    return f"default/{job['name']}/{job['id']}/"


@pytest.fixture(scope="module")
def folder(works: TheWorks, run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data set, as a user downloads it."""
    folder = tmp_path_factory.mktemp("download")
    for info in works.store.list(prefix(run.generate)):
        target = folder / info.key.removeprefix(prefix(run.generate))
        target.parent.mkdir(parents=True, exist_ok=True)
        works.store.get_file(info.key, target)
    return folder


def test_both_jobs_succeed_in_one_attempt(run: Run) -> None:
    for job in (run.train, run.generate):
        assert job["status"] == "SUCCEEDED"
        assert [attempt["status"] for attempt in job["attempts"]] == ["SUCCEEDED"]


def test_the_follower_ends_with_a_table_of_where_everything_is(run: Run) -> None:
    assert re.search(r"e2e-train +train +SUCCEEDED +12,0\d\d examples .* examples/s .*discriminator", run.followed)
    assert re.search(r"e2e-samples +generate +SUCCEEDED +1,050 samples .* 5 ", run.followed)
    assert f"s3://works/store/{prefix(run.generate)}data" in run.followed


def test_the_bucket_holds_what_the_design_says(works: TheWorks, run: Run) -> None:
    keys = [info.key.removeprefix(prefix(run.train)) for info in works.store.list(prefix(run.train))]
    for expected in (
        "job.yaml", "events.jsonl", "stats.jsonl", "report/losses.png", "README.md", "MANIFEST.json", "SHA256SUMS",
        "model/generator.safetensors", "model/config.json", "logs/a1/driver.log.gz",
    ):  # fmt: skip
        works.wait_for(lambda expected=expected: works.store.head(prefix(run.train) + expected))
    assert len([key for key in keys if re.fullmatch(r"grids/\d{12}\.png", key)]) == 3
    assert len([key for key in keys if re.fullmatch(r"checkpoints/\d{12}-a1/COMMIT\.json", key)]) == 2  # keep: 2
    assert not [key for key in keys if key.endswith(".pkl")]


def test_the_manifest_matches_every_file(folder: Path, run: Run) -> None:
    manifest = json.loads((folder / "MANIFEST.json").read_text())
    assert len(manifest["files"]) == 5
    for file in manifest["files"]:
        content = (folder / file["key"]).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (file["size"], file["sha256"])
    checked = subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=folder, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr


def test_every_image_decodes_and_every_index_is_there_once(folder: Path) -> None:
    indices, pictures = [], []
    for shard in sorted((folder / "data").glob("*.tar")):
        with tarfile.open(shard) as tar:
            for member in tar:
                if member.name.endswith(".png"):
                    file = tar.extractfile(member)
                    assert file
                    picture = Image.open(io.BytesIO(file.read()))
                    pictures.append(np.asarray(picture))
                    indices.append(int(member.name.removesuffix(".png")))
    assert indices == list(range(1050))
    assert {picture.shape for picture in pictures} == {(32, 32)}
    assert len({picture.tobytes() for picture in pictures}) == 1050


@pytest.mark.filterwarnings("ignore")
def test_load_dataset_opens_the_folder(folder: Path, tmp_path: Path) -> None:
    import datasets

    loaded = datasets.load_dataset(str(folder), cache_dir=str(tmp_path))
    assert loaded["train"].num_rows == 1050
    assert loaded["train"][3]["png"].size == (32, 32)
    assert loaded["train"][3]["json"]["index"] == 3


@pytest.mark.filterwarnings("ignore")
def test_a_webdataset_reader_opens_the_shards(folder: Path) -> None:
    import webdataset

    shards = [str(path) for path in sorted((folder / "data").glob("*.tar"))]
    samples = list(webdataset.WebDataset(shards, shardshuffle=False).decode("pil"))
    assert [int(sample["__key__"]) for sample in samples] == list(range(1050))


def series(text: str) -> dict[str, list[tuple[dict[str, str], float]]]:
    families = text_string_to_metric_families(text)
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    for sample in (sample for family in families for sample in family.samples):
        found.setdefault(sample.name, []).append((sample.labels, sample.value))
    return found


def test_metrics_show_the_run_under_their_fixed_names(run: Run) -> None:
    found = series(run.metrics_while_training)
    job = {"project": "default", "job_name": "e2e-train", "job_id": run.train["id"]}

    def value(name: str, **labels: str) -> float:
        (only,) = [value for got, value in found[f"ganworks_{name}"] if got == {**job, **labels}]
        return only

    assert 0 < value("job_progress_ratio") < 1
    assert value("job_workers") == 2
    assert value("train_examples_total") >= 1000
    assert value("train_steps_total") == value("train_examples_total") / 64
    assert value("job_last_tick_timestamp_seconds") > 1.7e9
    assert {labels["phase"] for labels, _ in found["ganworks_train_loss"]} == {"discriminator", "generator"}
    assert value("train_gradient_norm", network="generator") > 0
    assert value("job_info", kind="train", family="dcgan", queue="default", owner="admin") == 1
    waiting = {"project": "default", "queue": "default", "kind": "generate", "status": "WAITING"}
    assert (waiting, 1.0) in found["ganworks_jobs"]
    assert found["ganworks_cluster_cpus"]
    assert "# TYPE ganworks_attempts_total counter" in run.metrics_while_training


def test_promtool_finds_nothing_to_say_about_the_metrics(run: Run) -> None:
    promtool = shutil.which("promtool")
    assert promtool, "promtool is missing; .ci/fetch promtool brings it"
    checked = subprocess.run(
        [promtool, "check", "metrics"], input=run.metrics_while_training, capture_output=True, text=True
    )
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


def test_a_job_s_series_end_with_it(works: TheWorks, run: Run) -> None:
    assert "e2e-train" not in works.metrics()


def test_the_ray_dashboard_shows_the_job_by_name_with_its_logs_and_its_training(works: TheWorks, run: Run) -> None:
    headers, attempt = {"Authorization": f"Bearer {works.token_path.read_text().strip()}"}, f"{run.train['id']}-1"
    with httpx.Client(base_url=works.address, headers=headers) as ray:
        job = ray.get(f"/api/jobs/{attempt}").json()
        log = ray.get(f"/api/jobs/{attempt}/logs").json()["logs"]
        runs = ray.get("/api/train/v2/runs/v1").json()["train_runs"]
    assert job["metadata"]["job_name"] == "e2e-train"
    assert "attempt 1 of train job e2e-train" in log
    assert [run["status"] for run in runs if run["name"] == attempt] == ["FINISHED"]
    assert httpx.get(f"{works.address}/api/jobs/").status_code == 401


def test_the_command_line_lists_and_describes(works: TheWorks, run: Run, tmp_path: Path) -> None:
    assert re.search(r"e2e-train +train +SUCCEEDED", works.ganworks("list").stdout)
    described = works.ganworks("describe", "e2e-train").stdout
    assert "SUCCEEDED" in described
    assert "attempt 1 committed" in described
    assert "attempt 1 of train job e2e-train" in works.ganworks("logs", "e2e-train").stdout
    saved = works.ganworks("grids", "e2e-train", "--to", str(tmp_path))
    assert saved.returncode == 0
    pictures = sorted(tmp_path.glob("*.png"))
    assert len(pictures) == 3
    with Image.open(pictures[-1]) as picture:
        assert picture.size == (128, 128)  # 16 samples of 32 × 32


def test_a_sample_has_the_same_bytes_for_another_shard_size_worker_count_and_format(
    works: TheWorks, run: Run, folder: Path, tmp_path: Path
) -> None:
    text = TEXT.split("---\n")[1].replace("e2e-samples", "e2e-other").replace("webdataset", "png")
    text = text.replace("250", "77").replace("1050", "300").replace("workers: 2", "workers: 1")
    (other,) = works.submit(text, tmp_path)
    job = works.wait_ended(other)
    assert job["status"] == "SUCCEEDED", works.story(other)
    first = {}
    for shard in sorted((folder / "data").glob("*.tar"))[:2]:
        with tarfile.open(shard) as tar:
            first |= {m.name: tar.extractfile(m).read() for m in tar if m.name.endswith(".png")}  # type: ignore[union-attr]
    assert len(first) == 500
    for index in range(300):
        name = f"{index:012d}.png"
        assert works.store.get(f"{prefix(job)}data/train/{name}") == first[name]


def test_a_checkpoint_by_its_number_of_examples_can_be_sampled_from(works: TheWorks, run: Run, tmp_path: Path) -> None:
    keys = [
        info.key for info in works.store.list(f"{prefix(run.train)}checkpoints/") if info.key.endswith("COMMIT.json")
    ]
    examples = int(keys[0].split("/")[-2].split("-a")[0])
    text = TEXT.split("---\n")[1].replace("e2e-samples", "e2e-early").replace("1050", "100")
    text = text.replace("{from: e2e-train}", f"{{from: e2e-train, checkpoint: {examples}}}").replace(
        "workers: 2", "workers: 1"
    )
    (early,) = works.submit(text, tmp_path)
    job = works.wait_ended(early)
    assert job["status"] == "SUCCEEDED", works.story(early)
    assert job["references"]["model"]["examples"] == examples
