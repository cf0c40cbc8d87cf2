"""Bad input: a clear error, the right exit code, no traceback, nothing lost."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from orchestrator.local.processes import free_ports
from tests.support.works import GANWORKS, PATIENCE, TheWorks

TRAIN = """\
kind: train
name: bad
model: {family: dcgan, params: {base_channels: 4}}
data: {source: SOURCE, resolution: 16}
train: {examples: 640, batch_size: 32, group: 16}
resources: {workers: 1}
retry: {limit: 0}
"""


def ganworks(home: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(home), "GANWORKS_HOME": str(home / "home"), **env}
    return subprocess.run([*GANWORKS, *arguments], env=environment, capture_output=True, text=True, timeout=PATIENCE)


def check(done: subprocess.CompletedProcess[str], code: int, *said: str) -> None:
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    for text in said:
        assert text in done.stderr, (text, done.stderr)
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            TRAIN.replace("resolution", "resoluton"),
            "jobs.yaml:4: data.resoluton: unknown field; did you mean 'resolution'?",
        ),
        (TRAIN.replace("640", "true"), "jobs.yaml:5: train.examples: a count is expected"),
        (TRAIN.replace("dcgan", "dcgna"), "jobs.yaml:3: model.family: unknown 'dcgna'; did you mean 'dcgan'?"),
        (TRAIN + "name: again", "jobs.yaml:8: name: given twice; first on line 2"),
    ],
)
def test_a_wrong_spec_is_told_before_anything_starts(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "jobs.yaml").write_text(text.replace("SOURCE", "shapes"))
    for command in ("validate", "run", "submit"):
        check(ganworks(tmp_path, command, str(tmp_path / "jobs.yaml")), 2, said)
    assert not (tmp_path / "home").exists()


def test_no_server(tmp_path: Path) -> None:
    check(ganworks(tmp_path, "list"), 3, "no server: start one with `ganworks up`")
    check(
        ganworks(tmp_path, "list", GANWORKS_URL="http://127.0.0.1:9", GANWORKS_TOKEN="x"),
        3,
        "no answer from http://127.0.0.1:9",
    )


def test_a_wrong_token(works: TheWorks, tmp_path: Path) -> None:
    check(ganworks(tmp_path, "list", GANWORKS_URL=works.record.url, GANWORKS_TOKEN="wrong"), 4, "token")
    check(ganworks(tmp_path, "list", GANWORKS_URL=works.record.url), 4, "no token for")


def test_a_job_that_is_not_there(works: TheWorks) -> None:
    check(works.ganworks("get", "nowhere"), 2, "there is no job 'nowhere'")


def test_a_taken_port(tmp_path: Path) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        check(ganworks(tmp_path, "up", "--port", port), 2, f"port {port} on 127.0.0.1 is taken")


@pytest.mark.parametrize(
    ("store", "change", "said"),
    [
        ("s3://works/x", {"AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9"}, "no answer from http://127.0.0.1:9"),
        ("s3://works/x", {"AWS_SECRET_ACCESS_KEY": "wrong"}, "refused the credentials"),
        ("s3://no-such-bucket/x", {}, "there is no bucket 'no-such-bucket'"),
    ],
)
def test_a_store_that_cannot_be_used(
    works: TheWorks, tmp_path: Path, store: str, change: dict[str, str], said: str
) -> None:
    env = {**works.s3.env, "GANWORKS_STORE": store, "GANWORKS_PORT": str(free_ports(1)[0]), **change}
    check(ganworks(tmp_path, "serve", **env), 2, said)


def submit(works: TheWorks, tmp_path: Path, text: str) -> subprocess.CompletedProcess[str]:
    (tmp_path / "jobs.yaml").write_text(text)
    return works.ganworks("submit", str(tmp_path / "jobs.yaml"))


def test_a_gang_that_never_fits_is_refused_naming_what_is_missing(works: TheWorks, tmp_path: Path) -> None:
    text = TRAIN.replace("SOURCE", "shapes").replace("batch_size: 32, group: 16", "batch_size: 4096, group: 16")
    done = submit(works, tmp_path, text.replace("workers: 1", "workers: 256"))
    check(done, 2, "resources", "256 CPUs", "the cluster has")


def test_another_spec_under_the_name_of_an_unfinished_job_is_refused(works: TheWorks, tmp_path: Path) -> None:
    big = TRAIN.replace("SOURCE", "shapes").replace("name: bad", "name: busy").replace("640", "5M")
    check(submit(works, tmp_path, big), 0)
    check(submit(works, tmp_path, big), 0)
    check(submit(works, tmp_path, big.replace("5M", "4M")), 2, "busy")
    check(works.ganworks("cancel", "busy"), 0)
    assert works.wait_ended(works.client.get("/jobs/busy")["id"])["status"] == "CANCELLED"


def run_to_end(works: TheWorks, tmp_path: Path, source: Path | str) -> dict[str, Any]:
    (job_id,) = works.submit(TRAIN.replace("SOURCE", str(source)), tmp_path)
    return works.wait_ended(job_id)


def test_data_that_is_not_there_is_told_before_anything_starts(works: TheWorks, tmp_path: Path) -> None:
    said = f"jobs.yaml:4: data.source: {tmp_path / 'nowhere'}: no such file or folder"
    check(submit(works, tmp_path, TRAIN.replace("SOURCE", "./nowhere")), 2, said)
    check(ganworks(tmp_path, "run", str(tmp_path / "jobs.yaml")), 2, said)
    assert not (tmp_path / "home").exists()


def pictures(folder: Path, count: int = 40) -> None:
    """Pictures as people have them."""
    random = np.random.default_rng(0)
    for number in range(count):
        place = folder / str(number % 11)
        place.mkdir(parents=True, exist_ok=True)
        pixels = random.integers(0, 256, (20 + number % 5, 24, 3), np.uint8)
        picture = Image.fromarray(pixels)
        mode = ("RGB", "P", "RGBA", "L", "CMYK", "1")[number % 6]
        suffix = "jpg" if mode == "CMYK" else "png"
        picture.convert(mode).save(place / f"{number}.{suffix}")
    Image.fromarray(random.integers(0, 65536, (20, 20), np.uint16)).save(folder / "1" / "sixteen.png")
    (folder / ".DS_Store").write_bytes(b"x")
    (folder / "1" / "._1.png").write_bytes(b"mac")
    (folder / "1" / "Thumbs.db").write_bytes(b"windows")


def test_a_folder_as_people_have_it_trains_and_a_corrupt_picture_is_named(works: TheWorks, tmp_path: Path) -> None:
    pictures(tmp_path / "pictures")
    job = run_to_end(works, tmp_path, "./pictures")
    assert job["status"] == "SUCCEEDED", works.story(job["id"])
    torn = tmp_path / "pictures" / "3" / "torn.png"
    torn.write_bytes((tmp_path / "pictures" / "1" / "sixteen.png").read_bytes()[:200])
    job = run_to_end(works, tmp_path, "./pictures")
    assert (job["status"], job["failure"]) == ("FAILED", "bad_data")
    assert "3/torn.png" in job["reason"]


def test_help_and_version_need_no_server_and_import_no_torch(tmp_path: Path) -> None:
    check(ganworks(tmp_path, "--help"), 0)
    check(ganworks(tmp_path, "version"), 0)
    code = "import sys, orchestrator.cli.app; sys.exit(bool({'torch', 'ray', 'boto3', 'sqlalchemy', 'httpx', 'pydantic'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
