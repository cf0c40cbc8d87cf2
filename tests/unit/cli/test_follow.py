"""What a follower says of a job, from the answers of the API."""

from typing import Any

import pytest

from orchestrator.cli import follow
from orchestrator.cli.errors import Exit, exit_of
from orchestrator.cli.output import duration, size
from orchestrator.cli.results import print_results


def job(**changes: Any) -> dict[str, Any]:
    return {
        "id": "1", "name": "shirts", "kind": "train", "status": "RUNNING", "failure": None, "reason": None,
        "tick": None, "attempts": [], "started": 100.0, "ended": 175.0, **changes,
    }  # fmt: skip


TRAINING = {"phase": "training", "examples": 500, "total_examples": 1000, "examples_per_second": 250.0, "eta": 2.0,
            "stats": {"loss/generator": 1.5, "loss/discriminator": 0.5, "lr/generator": 1.0}}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "position"),
    [
        ({"status": "QUEUED", "reason": "waiting for 4 CPUs; 2 free"}, ("waiting for 4 CPUs; 2 free", 0, None)),
        ({}, ("starting workers", 0, None)),
        (
            {"tick": {"phase": "preparing", "progress": {"label": "packing x", "done": 3, "total": 9}}},
            ("packing x", 3, 9),
        ),
        ({"tick": TRAINING}, ("training", 500, 1000)),
        (
            {"kind": "generate", "tick": {"phase": "generating", "samples": 7, "total_samples": 10}},
            ("generating", 7, 10),
        ),
        ({"status": "SUCCEEDED", "tick": TRAINING}, ("done", 1000, 1000)),
        ({"status": "FAILED", "tick": TRAINING}, ("failed", 0, None)),
    ],
)
def test_a_bar_says_what_its_job_does(changes: dict[str, Any], position: tuple[Any, ...]) -> None:
    assert follow.position(job(**changes)) == position


def test_rate_and_losses_stand_beside_the_bar() -> None:
    assert follow.measures(job(tick=TRAINING)) == "250/s  generator 1.50  discriminator 0.50"
    assert follow.measures(job()) == ""


def test_bytes_are_counted_in_bytes() -> None:
    upload = {
        "phase": "uploading",
        "progress": {"label": "uploading", "done": 1 << 20, "total": 3 << 20, "unit": "bytes"},
    }
    assert follow.count(job(tick=upload), 1 << 20, 3 << 20) == "1.0 MiB/3.0 MiB"
    assert follow.count(job(tick=TRAINING), 500, 1000) == "500/1,000"


@pytest.mark.parametrize(
    ("status", "failure", "code"),
    [
        ("SUCCEEDED", None, Exit.DONE),
        ("FAILED", "bad_data", Exit.FAILED),
        ("FAILED", "gate", Exit.GATE),
        ("CANCELLED", None, Exit.CANCELLED),
    ],
)
def test_the_exit_code_is_the_job_s(status: str, failure: str | None, code: Exit) -> None:
    assert exit_of(status, failure) == code
    assert follow.worst([job(status="SUCCEEDED"), job(status=status, failure=failure)]) == code


def test_the_results_name_every_place_and_every_failure(capsys: pytest.CaptureFixture[str]) -> None:
    result = {
        "output": "/s/x",
        "model": "/s/x/model",
        "grid": "/s/g.png",
        "curves": "/s/c.png",
        "bytes": 2048,
        "examples": 1000,
        "examples_per_second": 333.0,
    }
    good = job(status="SUCCEEDED", tick=TRAINING, attempts=[{"result": result}])
    bad = job(name="other", status="FAILED", failure="bad_data", reason="no such folder")
    print_results([good, bad])
    out, err = capsys.readouterr()
    for text in ("1,000 examples", "333 examples/s", "generator 1.500", "2.0 KiB", "1m15s", "/s/x/model", "/s/g.png"):
        assert text in out
    assert "other: bad_data: no such folder" in err


class _Server:
    """Answers as the API does: at each look the next of the jobs' states, the last for ever."""

    def __init__(self, *looks: list[dict[str, Any]]) -> None:
        self.looks, self.asked = list(looks), 0

    def get(self, path: str, **query: Any) -> Any:
        if path.endswith("/events"):
            return {"events": []}
        states = self.looks[min(self.asked // len(self.looks[0]), len(self.looks) - 1)]
        self.asked += 1
        return next(state for state in states if path == f"/jobs/{state['id']}")


def test_why_a_job_failed_is_said_when_it_fails_not_when_all_have_ended(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(follow, "POLL", 0.0)
    bad = job(id="1", name="bad", status="FAILED", failure="bad_data", reason="no such folder")
    looks = [job(id="2", name="slow")], [job(id="2", name="slow")], [job(id="2", name="slow", status="SUCCEEDED")]
    follow.follow(_Server(*([bad, *others] for others in looks)), ["1", "2"])  # type: ignore[arg-type]
    lines = capsys.readouterr().err.splitlines()
    assert lines.count("bad: bad_data: no such folder") == 1
    assert lines.index("bad: bad_data: no such folder") < lines.index("slow: done 1/1")


def test_of_the_last_job_to_end_the_summary_tells(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(follow, "POLL", 0.0)
    jobs = follow.follow(_Server([job(status="FAILED", failure="bad_data", reason="none")]), ["1"])  # type: ignore[arg-type]
    assert "bad_data" not in capsys.readouterr().err
    print_results(jobs)
    assert capsys.readouterr().err == "shirts: bad_data: none\n"


def test_quantities_for_people() -> None:
    assert [duration(s) for s in (5, 75, 3700, 90_000, None)] == ["5s", "1m15s", "1h01m", "1d01h", "-"]
    assert [size(n) for n in (0, 1023, 1024, 5 << 30, None)] == ["0 B", "1023 B", "1.0 KiB", "5.0 GiB", "-"]
