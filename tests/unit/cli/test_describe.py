"""describe, logs, cron next: what a running job tells of itself."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import Commands
from server_bench import DriverDouble

Spec = Callable[..., str]


@pytest.fixture
def running(ganworks: Commands, spec: Spec) -> DriverDouble:
    """A job in the midst of its training, that the health watch has said something of."""
    path = spec("1.yaml", "a", labels="{team: vision}", priority="70", resources="{workers: 2, cpus_per_worker: 0.5}")
    job = json.loads(ganworks("submit", path, "-o", "json").out)["jobs"][0]["id"]
    ganworks.bench.step()
    driver = ganworks.bench.driver(f"{job}-1")
    driver.call("events", {"type": "finding", "message": "mode_collapse: samples look alike"})
    driver.tick(
        phase="training", examples=250, total_examples=1000, examples_per_second=50.0, eta=15.0, steps=10,
        stats={"loss/generator": 1.25, "loss/discriminator": 0.5},
        checkpoint_examples=200, checkpoint_size_bytes=2 << 20, checkpoint_committed_at=ganworks.bench.clock.now,
    )  # fmt: skip
    grid = ganworks.bench.job(job).layout.drawn_grid(200, 1)
    ganworks.bench.server.store.put(grid, b"png")
    return driver


def test_a_running_job_tells_how_it_is_doing(ganworks: Commands, running: DriverDouble) -> None:
    ran = ganworks("describe", "a")
    facts = dict(line.split(":", 1) for line in ran.out.split("\n\n")[0].splitlines())
    facts = {name: text.strip() for name, text in facts.items()}
    assert facts["progress"] == "250 of 1,000 examples (25%)"
    assert facts["rate"] == "50.0 examples/s"
    assert facts["time left"] == "15s"
    assert facts["losses"] == "generator 1.2500, discriminator 0.5000"
    assert facts["checkpoint"].startswith("at 200 examples, ")
    assert facts["checkpoint"].endswith(", 2.0 MiB")
    assert facts["newest grid"] == ganworks.bench.server.store.locate(
        ganworks.bench.job(facts["id"]).layout.drawn_grid(200, 1)
    )
    assert facts["queue"] == "default, priority 70"
    assert facts["labels"] == "team=vision"
    assert "cpus_per_worker 0.5" in facts["resources"]


def test_findings_attempts_spec_and_events_follow(ganworks: Commands, running: DriverDouble) -> None:
    parts = ganworks("describe", "a").out.split("\n\n")
    titles = [part.splitlines()[0] for part in parts[1:]]
    assert titles == ["findings", "attempts", "spec", "events"]
    assert "mode_collapse: samples look alike" in parts[1]
    assert "RUNNING" in parts[2]
    assert "    family: dcgan" in parts[3]
    assert "submitted" in parts[4]


def test_what_a_job_needs_is_told(ganworks: Commands, spec: Spec) -> None:
    ganworks("submit", spec("1.yaml", "a"), spec("2.yaml", "b", needs="[{name: a, when: finished}]"))
    assert "needs:         a (finished: QUEUED)" in ganworks("describe", "b").lines


def test_a_program_gets_the_events_too(ganworks: Commands, running: DriverDouble) -> None:
    told = json.loads(ganworks("describe", "a", "-o", "json").out)
    assert told["tick"]["examples"] == 250
    assert "finding" in [event["type"] for event in told["events"]]


def test_an_attempt_that_never_was_has_no_log(ganworks: Commands, running: DriverDouble) -> None:
    ran = ganworks("logs", "a", "--attempt", "9")
    assert ran.code == 2
    assert ran.err == "error: job a has no attempt 9; it has had 1\n"


def test_a_job_that_waits_has_no_log_and_says_why(ganworks: Commands, spec: Spec) -> None:
    ganworks("submit", spec("1.yaml", "a"))
    ran = ganworks("logs", "a")
    assert ran.code == 0
    assert "a has had no attempt yet: QUEUED" in ran.err


def test_a_log_that_steers_a_terminal_is_only_shown(
    ganworks: Commands, running: DriverDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    ganworks.bench.cluster.entries[running.id].log = "50%\r100%\n\x1b[2Jgone\n"
    assert ganworks("logs", "a").out == "50%\r100%\n\x1b[2Jgone\n", "a file gets it as it is"
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert ganworks("logs", "a").out == "50%\r100%\n\\x1b[2Jgone\n"


SCHEDULED = """kind: generate
name: nightly
model: {from: a}
samples: 10
schedule: {cron: '0 2 * * *', time_zone: Asia/Tokyo}
"""


def test_a_file_tells_when_it_would_fire(ganworks: Commands, tmp_path: Path) -> None:
    path = tmp_path / "nightly.yaml"
    path.write_text(SCHEDULED)
    ran = ganworks("cron", "next", str(path), "-n", "3")
    assert ran.code == 0, ran.err
    assert len(ran.lines) == 4
    assert all("T02:00:00+09:00" in line for line in ran.lines[1:])


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("0 2 * * *", "0 2 31 2 *", "nightly.yaml:5: schedule.cron: Bad day-of-month in '0 2 31 2 *'"),
        ("0 2 * * *", "61 2 * * *", "nightly.yaml:5: schedule.cron: Bad minute"),
        ("Asia/Tokyo", "Asia/Tokio", "did you mean 'Asia/Tokyo'?"),
    ],
)
def test_a_file_that_never_fires_is_told(
    ganworks: Commands, tmp_path: Path, before: str, after: str, message: str
) -> None:
    path = tmp_path / "nightly.yaml"
    path.write_text(SCHEDULED.replace(before, after))
    ran = ganworks("cron", "next", str(path))
    assert ran.code == 2
    assert message in ran.err


def test_a_file_without_a_schedule_is_told(ganworks: Commands, spec: Spec) -> None:
    assert "no job of it has a schedule" in ganworks("cron", "next", spec("1.yaml", "a")).err


def test_a_schedule_is_looked_after_from_its_submission_to_its_end(ganworks: Commands, tmp_path: Path) -> None:
    path = tmp_path / "hourly.yaml"
    path.write_text(
        "kind: train\nname: hourly\nmodel: {family: dcgan}\ndata: {source: fashion-mnist}\nschedule: {cron: '0 * * * *'}\n"
    )
    assert ganworks("submit", str(path)).lines[1].split() == ["hourly", "schedule,", "version", "1", "SCHEDULED"]
    assert ganworks("cron", "list").lines[1].split()[:2] == ["hourly", "0"]
    assert len(ganworks("cron", "next", "hourly").lines) == 6
    assert ganworks("cron", "trigger", "hourly").err.startswith("hourly: ")
    assert ganworks("cron", "suspend", "hourly").err == "hourly: suspended\n"
    assert "suspended" in ganworks("cron", "list").out
    assert ganworks("cron", "resume", "hourly").err.startswith("hourly: next in ")
    (fired,) = ganworks("cron", "history", "hourly").lines[1:]
    assert "started" in fired
    assert ganworks("cron", "delete", "hourly").err == "hourly: deleted; its jobs and data stay\n"
    assert ganworks("cron", "list").lines[1:] == []
