"""What is printed: tables, sizes, durations, and nothing that steers a terminal."""

import pytest

from orchestrator.cli.errors import CliError, Exit
from orchestrator.cli.output import Format, dump, duration, note, plain, print_table, show, size
from orchestrator.cli.patient import Patient


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("Zürich 東京 🎨", "Zürich 東京 🎨"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("a\u202eb", "a\\u202eb"),  # turns the rest of the line around
        ("zero\u200bwidth", "zero\\u200bwidth"),
        ("\x9b31m", "\\x9b31m"),  # the one-byte form of ESC [
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
    ],
)
def test_what_would_steer_a_terminal_stands_as_its_code(text: str, shown: str) -> None:
    assert plain(text) == shown


def test_tables_and_notes_are_plain(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("name",), [("\x1b[2J",)])
    show({}, Format.NAME, ("name",), [("\x1b[2J",)])
    note("\x1b[2J")
    out, err = capsys.readouterr()
    assert "\x1b" not in out + err
    assert (out.count("\\x1b"), err.count("\\x1b")) == (2, 1)


def test_columns_are_aligned_and_nothing_is_cut(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("name", "output"), [("a", "s3://bucket/" + "x" * 200), ("longer", None)])
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["NAME    OUTPUT", "a       s3://bucket/" + "x" * 200, "longer  -"]


def test_programs_get_all_of_a_value(capsys: pytest.CaptureFixture[str]) -> None:
    dump({"name": "Zürich", "n": [1]}, Format.JSON)
    dump({"name": "Zürich", "n": [1]}, Format.YAML, indent=2)
    assert capsys.readouterr().out == '{\n  "name": "Zürich",\n  "n": [\n    1\n  ]\n}\n  name: Zürich\n  n:\n  - 1\n'


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, "-"), (0.4, "0s"), (59.6, "1m00s"), (75, "1m15s"), (3661, "1h01m"), (90061, "1d01h")]
)
def test_durations(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [(None, "-"), (0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (3 << 30, "3.0 GiB"), (5 << 40, "5.0 TiB")],
)
def test_sizes(number: float | None, text: str) -> None:
    assert size(number) == text


class Restarting:
    """A server that answers after so many tries."""

    url = "http://works"

    def __init__(self, away: int, error: Exit = Exit.UNREACHABLE) -> None:
        self.away, self.error = away, error

    def get(self, path: str, **query: object) -> str:
        self.away -= 1
        if self.away >= 0:
            raise CliError("no answer", self.error)
        return path


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setattr("orchestrator.cli.patient.POLL", 0)
    return []


def patient(server: Restarting, said: list[str], patience: float = 60.0) -> Patient:
    return Patient(server, say=said.append, patience=patience)  # type: ignore[arg-type]


def test_a_server_that_restarts_is_waited_for_and_it_is_said_once(said: list[str]) -> None:
    server = patient(Restarting(3), said)
    assert server.get("/jobs") == "/jobs"
    assert said == [
        "http://works does not answer; jobs go on without it. Waiting for it (Ctrl-C ends)",
        "http://works answers again",
    ]
    server.get("/jobs")
    assert len(said) == 2


def test_one_that_stays_away_is_given_up(said: list[str]) -> None:
    with pytest.raises(CliError, match="no answer"):
        patient(Restarting(10**9), said, patience=0.01).get("/jobs")


def test_what_is_no_absence_is_told_at_once(said: list[str]) -> None:
    with pytest.raises(CliError):
        patient(Restarting(1, Exit.BAD_INPUT), said).get("/jobs")
    assert said == []


def test_who_is_alive_no_more_is_not_waited_for(said: list[str]) -> None:
    def gone() -> None:
        raise CliError("the server has ended")

    with pytest.raises(CliError, match="the server has ended"):
        Patient(Restarting(5), say=said.append, alive=gone).get("/jobs")  # type: ignore[arg-type]
