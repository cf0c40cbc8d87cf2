"""The checker of the soak finds what is planted, and nothing in a sound history."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from server_bench import Bench, train

from jobs.store import Store, open_store
from tests.support import history
from tests.support.history import Fault, History

DOCUMENTS = [{"schedule": {"cron": "* * * * *", "concurrency": "forbid"}}]


def manifest(store: Store, job_id: str, name: str, content: bytes) -> str:
    prefix = f"default/{name}/{job_id}/"
    file = {"key": "model/generator.safetensors", "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    text = json.dumps({"files": [file]}).encode()
    store.put(f"{prefix}model/generator.safetensors", content)
    store.put(f"{prefix}MANIFEST.json", text)
    return hashlib.sha256(text).hexdigest()


def job(job_id: str, name: str, digest: str, **more: Any) -> dict[str, Any]:
    return {
        "id": job_id, "name": name, "project": "default", "kind": "train", "status": "SUCCEEDED", "reason": None, "failure": None,
        "attempt": 1, "commit_sha256": digest, "schedule": None, "scheduled_time": None, **more,
    }  # fmt: skip


def attempt(job_id: str, number: int, status: str = "SUCCEEDED", failure: str | None = None) -> dict[str, Any]:
    return {
        "id": f"{job_id}-{number}",
        "job_id": job_id,
        "number": number,
        "status": status,
        "failure": failure,
        "message": None,
    }


def lives(*of: tuple[str, int]) -> list[dict[str, Any]]:
    """Events of attempts, one after the other."""
    types = [(job_id, number, type) for job_id, number in of for type in ("started", "running", "attempt_ended")]
    return [
        {"seq": seq, "job_id": job_id, "attempt": number, "type": type}
        for seq, (job_id, number, type) in enumerate(types)
    ]


@pytest.fixture
def sound(tmp_path: Path) -> History:
    store = open_store(str(tmp_path))
    calm, storm = (manifest(store, each, each, b"weights") for each in ("calm", "storm"))
    fired = [
        job(f"f{n}", "beat", manifest(store, f"f{n}", "beat", b"w"), schedule="beat", scheduled_time=60.0 * n)
        for n in (1, 2)
    ]
    firings = [
        {"schedule": "beat", "scheduled_time": 60.0 * n, "outcome": "started" if n < 3 else "skipped", "job_id": f"f{n}" if n < 3 else None}
        for n in (1, 2, 3)
    ]  # fmt: skip
    ticks = [
        {"seq": n, "job_id": "calm", "attempt": 1, "data": json.dumps({"phase": "training", "examples": 64 * n})}
        for n in range(3)
    ]
    return History(
        jobs=[job("calm", "calm", calm), job("storm", "storm", storm, attempt=2), *fired],
        attempts=[attempt("calm", 1), attempt("storm", 1, "LOST", "lost"), *(attempt(*each) for each in (("storm", 2), ("f1", 1), ("f2", 1)))],
        events=lives(("calm", 1), ("storm", 1), ("storm", 2), ("f1", 1), ("f2", 1)),
        ticks=ticks,
        schedules=[{"name": "beat", "documents": json.dumps(DOCUMENTS)}],
        firings=firings,
        faults=[Fault(name="a driver is killed", attempts=frozenset({"storm-1"}), failures=frozenset({"lost"}))],
        store=store,
        twins={"storm": "calm"},
        log='{"level": "warning", "event": "the store fails"}\nno JSON\n',
    )  # fmt: skip


def test_nothing_is_found_in_a_sound_history(sound: History) -> None:
    assert history.findings(sound) == []


def test_it_is_told_how_much_there_was(sound: History) -> None:
    told = history.counts(sound)
    assert told["jobs"] == {"train succeeded": 4}
    assert told["attempts"] == {"succeeded": 4, "lost": 1}
    assert (told["failures"], told["firings"]) == ({"lost": 1}, {"started": 2, "skipped": 1})
    assert told["faults"] == {"a driver is killed": 1}
    assert told["of them made by schedules"] == 2


def overwritten(whole: History) -> None:
    whole.store.put("default/storm/storm/model/generator.safetensors", b"others")


def remade(whole: History) -> None:
    whole.jobs[1]["commit_sha256"] = manifest(whole.store, "storm", "storm", b"others")


PLANTS: dict[str, tuple[str, Callable[[History], Any]]] = {
    "a job without an end": ("every_job_ended", lambda h: h.jobs[0].update(status="RUNNING")),
    "a job that failed": ("every_job_ended", lambda h: h.jobs[0].update(status="FAILED")),
    "cancelled by nobody": ("every_job_ended", lambda h: h.jobs[0].update(status="CANCELLED")),
    "a number left out": ("attempts_follow_each_other", lambda h: h.attempts[2].update(number=3)),
    "an attempt without an end": ("attempts_follow_each_other", lambda h: h.events.pop(2)),
    "an attempt with two ends": ("attempts_follow_each_other", lambda h: h.events.append({**h.events[2], "seq": 99})),
    "two attempts at once": ("attempts_follow_each_other", lambda h: h.events[5].update(seq=7.5)),
    "two that succeeded": ("one_accepted_end", lambda h: h.attempts[1].update(status="SUCCEEDED")),
    "a success of none": ("one_accepted_end", lambda h: h.attempts[0].update(status="FAILED")),
    "another manifest": ("one_manifest", lambda h: h.jobs[0].update(commit_sha256="0" * 64)),
    "no manifest": ("one_manifest", lambda h: h.store.delete("default/calm/calm/MANIFEST.json")),
    "bytes written over": ("one_manifest", overwritten),
    "bytes gone": ("one_manifest", lambda h: h.store.delete("default/storm/storm/model/generator.safetensors")),
    "other weights than the twin's": ("bytes_are_the_twins", remade),
    "lost of nothing": ("nothing_stopped_for_nothing", lambda h: setattr(h, "faults", ())),
    "lost of something else": ("nothing_stopped_for_nothing", lambda h: h.attempts[1].update(failure="stalled")),
    "steps back": ("progress_goes_forward", lambda h: h.ticks[1].update(data={"phase": "training", "examples": 999})),
    "two jobs of a firing": ("firings_make_one_job_each", lambda h: h.jobs[3].update(scheduled_time=60.0)),
    "a job of two firings": ("firings_make_one_job_each", lambda h: h.firings[1].update(job_id="f1")),
    "a job that is not there": ("firings_make_one_job_each", lambda h: h.jobs.pop()),
    "a skipped firing with a job": ("firings_make_one_job_each", lambda h: h.firings[2].update(job_id="f2")),
    "a minute of which nothing is known": ("firings_leave_no_gap", lambda h: h.firings.pop(1)),
    "two of a schedule at once": ("nobody_overlaps", lambda h: h.events[11].update(seq=12.5)),
    "a mistake of the server": ("no_mistake_of_the_server", lambda h: setattr(h, "log", '{"level": "error"}')),
}


@pytest.mark.parametrize("plant", PLANTS)
def test_what_is_planted_is_found(sound: History, plant: str) -> None:
    check, spoil = PLANTS[plant]
    spoil(sound)
    assert any(found.startswith(f"{check}: ") for found in history.findings(sound)), history.findings(sound)


def test_a_stop_of_what_had_ended_is_no_overlap(sound: History) -> None:
    sound.events.append({"seq": 99, "job_id": "f1", "attempt": 1, "type": "killed"})
    assert history.findings(sound) == []


def test_what_was_cancelled_was_stopped_for_something(sound: History) -> None:
    sound.faults = ()
    sound.jobs[1].update(status="CANCELLED")
    sound.twins, sound.attempts[2]["status"] = {}, "LOST"
    sound.events.append({"seq": 99, "job_id": "storm", "attempt": 2, "type": "cancelled"})
    assert history.findings(sound) == []


def test_the_database_of_a_server_is_read_as_it_is(bench: Bench) -> None:
    bench.submit(train("nightly", schedule={"cron": "0 2 * * *"}))
    (done, other) = bench.submit(train(), train("other"))
    bench.step()
    digest = manifest(bench.server.store, done, "fashion", b"weights")
    driver = bench.driver(f"{done}-1")
    driver.tick(phase="training", examples=64)
    driver.call("commit", {"sha256": digest})
    driver.result("succeeded")
    bench.step(4)
    found = history.read(bench.server.settings.home / "ganworks.db", bench.server.store)
    assert {each["name"]: each["status"] for each in found.jobs}["fashion"] == "SUCCEEDED"
    assert [each["name"] for each in found.schedules] == ["nightly"]
    assert len(found.ticks) == 1
    wrong = history.findings(found)
    assert any(said.startswith(f"every_job_ended: other {other} is") for said in wrong)
    assert not any("fashion" in said for said in wrong)
