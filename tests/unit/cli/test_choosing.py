"""Which jobs a command is for: names, ids and their beginnings, labels, all."""

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from commands import Commands

from orchestrator.cli import select
from orchestrator.cli.commands import jobs
from orchestrator.cli.target import Target

Spec = Callable[..., str]


@pytest.fixture
def three(ganworks: Commands, spec: Spec) -> dict[str, str]:
    """Ids by name; a and b bear a label."""
    ran = ganworks("submit", spec("1.yaml", "a", "b", labels="{team: vision}"), spec("2.yaml", "c"), "-o", "json")
    return {job["name"]: job["id"] for job in json.loads(ran.out)["jobs"]}


def statuses(ganworks: Commands, *more: str) -> dict[str, str]:
    return {job["name"]: job["status"] for job in json.loads(ganworks("list", "-o", "json", *more).out)["jobs"]}


def cancelled(ganworks: Commands) -> set[str]:
    return {name for name, status in statuses(ganworks).items() if status == "CANCELLED"}


def test_several_by_name_and_id(ganworks: Commands, three: dict[str, str]) -> None:
    ran = ganworks("cancel", "a", three["c"])
    assert ran.code == 0
    assert ran.err.splitlines() == [f"a ({three['a']}): CANCELLED", f"c ({three['c']}): CANCELLED"]
    assert cancelled(ganworks) == {"a", "c"}


def test_by_label(ganworks: Commands, three: dict[str, str]) -> None:
    assert set(statuses(ganworks, "-l", "team=vision")) == {"a", "b"}
    assert ganworks("cancel", "-l", "team=vision").code == 0
    assert cancelled(ganworks) == {"a", "b"}
    assert statuses(ganworks, "-l", "team=vision", "-l", "team=sound") == {}


def test_all_are_those_to_which_it_can_be_done(ganworks: Commands, three: dict[str, str]) -> None:
    ganworks("cancel", "a")
    assert len(ganworks("cancel", "--all").err.splitlines()) == 2  # a has ended
    assert cancelled(ganworks) == {"a", "b", "c"}
    ganworks.bench.step(3)
    assert ganworks("delete", "--all").code == 0
    assert statuses(ganworks) == {}


def test_suspend_and_resume_all(ganworks: Commands, three: dict[str, str]) -> None:
    ganworks("suspend", "--all")
    assert set(statuses(ganworks).values()) == {"SUSPENDED"}
    ganworks("resume", "--all")
    assert "SUSPENDED" not in statuses(ganworks).values()


def test_one_that_fails_stops_no_other(ganworks: Commands, three: dict[str, str]) -> None:
    ran = ganworks("cancel", "a", "nobody", "b")
    assert ran.code == 2
    assert "error: there is no job 'nobody'" in ran.err
    assert cancelled(ganworks) == {"a", "b"}


@pytest.mark.parametrize("arguments", [(), ("a", "--all"), ("a", "-l", "team=vision")])
def test_a_choice_is_clear_or_none_is_made(ganworks: Commands, three: dict[str, str], arguments: tuple) -> None:
    ran = ganworks("cancel", *arguments)
    assert ran.code == 2
    assert "name the jobs, or say --all or -l NAME=VALUE, and not both" in ran.err
    assert cancelled(ganworks) == set()


def test_nothing_to_do_is_said(ganworks: Commands, three: dict[str, str]) -> None:
    ran = ganworks("retry", "--all")
    assert (ran.code, ran.err) == (0, "there is no job to retry\n")


def test_the_beginning_of_an_id_will_do(ganworks: Commands, three: dict[str, str]) -> None:
    assert ganworks("get", three["b"][:-1], "-o", "name").lines == ["b"]


def test_a_beginning_of_several_ids_names_them(ganworks: Commands, three: dict[str, str]) -> None:
    ran = ganworks("get", three["a"][:8])
    assert ran.code == 2
    assert "is the beginning of several ids" in ran.err
    assert all(id in ran.err for id in three.values())


def test_a_name_that_looks_like_a_day_is_found_by_name(ganworks: Commands, spec: Spec, three: dict[str, str]) -> None:
    day = three["a"][:8]
    ganworks("submit", spec("day.yaml", f"'{day}'"))
    assert ganworks("get", day, "-o", "name").lines == [day]


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--status", "BOGUS", "status: unknown 'BOGUS'; choices: CANCELLED, FAILED"),
        ("--status", "runing", "did you mean 'RUNNING'?"),
        ("--kind", "trian", "did you mean 'train'?"),
        ("-l", "team", "label: 'team'; NAME=VALUE is expected"),
        ("-l", '"=1', "NAME=VALUE is expected"),
    ],
)
def test_what_no_job_can_be_is_refused(ganworks: Commands, option: str, value: str, message: str) -> None:
    ran = ganworks("list", option, value)
    assert ran.code == 2
    assert message in ran.err


def test_a_list_is_wide_where_it_is_asked(ganworks: Commands, three: dict[str, str]) -> None:
    narrow, wide = ganworks("list"), ganworks("list", "-o", "wide")
    assert "team=vision" not in narrow.out
    assert "team=vision" in wide.out
    assert wide.lines[0].split() == [
        "NAME", "KIND", "STATUS", "PROGRESS", "SUBMITTED", "ID", "QUEUE", "PRIORITY", "OWNER", "ATTEMPT", "LABELS",
        "OUTPUT", "REASON",
    ]  # fmt: skip


def test_a_shell_completes_names(ganworks: Commands, three: dict[str, str]) -> None:
    target = Target()
    context: Any = SimpleNamespace(find_root=lambda: SimpleNamespace(obj=target))
    assert select._names(context, "") == ["a", "b", "c"]
    assert select._names(context, "b") == ["b"]
    target.close()
    nowhere = Target(url="http://127.0.0.1:9", token="t")
    context.find_root = lambda: SimpleNamespace(obj=nowhere)
    assert select._names(context, "") == []
    nowhere.close()


def test_a_watched_list_shows_again_what_has_changed(
    ganworks: Commands, three: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    happens = iter([lambda: ganworks.bench.post("/api/v1/jobs/b/cancel"), _interrupt])
    monkeypatch.setattr(jobs.time, "sleep", lambda _: next(happens)())
    ran = ganworks("list", "--watch")
    rows = [line.split()[:3] for line in ran.lines]
    assert [row[0] for row in rows] == ["NAME", "c", "b", "a", "b"]
    assert rows[-1][2] == "CANCELLED"
    assert ran.code == 130


def test_what_is_watched_is_a_table(ganworks: Commands) -> None:
    assert "--watch shows a table" in ganworks("list", "--watch", "-o", "json").err


def _interrupt() -> None:
    raise KeyboardInterrupt
