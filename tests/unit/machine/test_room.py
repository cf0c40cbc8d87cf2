"""Where Ray's sockets lie, and a home without room or rights: chosen, or told in a line."""

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from orchestrator.local import Stack, StackError, ray_head
from orchestrator.local import stack as stacks
from orchestrator.local.limits import Limits


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a path that is short enough."""
    folder = Path(tempfile.mkdtemp(prefix="r", dir="/tmp"))
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


def test_the_user_s_choice_goes_first(short: Path, tmp_path: Path) -> None:
    folder = ray_head.temporary("0123456789abcdef", tmp_path)
    assert folder == short / "ganworks-01234567"
    assert folder.is_dir()
    ray_head.clean(str(folder))
    assert not folder.exists()


@pytest.mark.parametrize("name", ["with space", "l" * 40, "gone", "read-only"])
def test_a_folder_that_will_not_do_is_passed_over(
    name: str, short: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = short / name
    if name == "read-only":
        place = Path("/proc")  # nobody can write there, root included
    elif name != "gone":
        place.mkdir()
    monkeypatch.setenv("TMPDIR", str(place))
    assert not ray_head.is_fit(place)
    folder = ray_head.temporary("0123456789abcdef", tmp_path)
    assert folder.parent == Path("/tmp")
    ray_head.clean(str(folder))


def test_where_none_will_do_the_way_out_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_head, "is_fit", lambda place: False)
    with pytest.raises(ray_head.NoRoom, match="set TMPDIR to one that does"):
        ray_head.temporary("0123456789abcdef", tmp_path)


def test_sockets_fit_below_the_longest_path(tmp_path: Path) -> None:
    """As Ray names them: `session_DATE_TIME_MICROSECONDS_PID/sockets/plasma_store.1`; a name ends at 107 characters."""
    folder = Path("/" + "x" * (ray_head.LONGEST - 1)) / "ganworks-01234567"
    socket = folder / "session_2026-11-28_19-48-36_123456" / "sockets" / "plasma_store.1"
    assert len(str(socket)) <= 107


def test_a_temporary_folder_that_cannot_be_written_is_replaced_for_ray_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TMPDIR", raising=False)
    assert "TMPDIR" not in ray_head.environment(tmp_path, "s", tmp_path)
    for place in ("/proc", "/tmp/" + "long" * 20):
        monkeypatch.setattr(tempfile, "gettempdir", lambda place=place: place)
        assert ray_head.environment(tmp_path, "s", tmp_path)["TMPDIR"] == str(tmp_path)


@pytest.mark.parametrize("home", ["/dev/null/home", "/proc/home"])
def test_a_home_that_cannot_be_written_is_named(home: str) -> None:
    with pytest.raises(StackError, match=f"GANWORKS_HOME: {Path(home).parent}.*set it to a folder that can be written"):
        Stack(Path(home)).start()


def test_a_home_without_room_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stacks, "ROOM", 1 << 60)
    with pytest.raises(StackError, match=f"{tmp_path}: No space left on device: .* MiB are free"):
        Stack(tmp_path).start()
    assert not (tmp_path / "stack.json").exists()


@pytest.mark.parametrize(
    ("host", "said"), [("203.0.113.9", "is not an address of this machine"), ("no.invalid", "is no host")]
)
def test_a_host_that_is_not_here_is_named_before_anything_starts(host: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(StackError, match=said):
        Stack(tmp_path, host=host).start()
    assert not (tmp_path / "ray.log").exists()


def test_a_token_of_the_environment_is_the_stack_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Stack(tmp_path).token
    monkeypatch.setenv("GANWORKS_TOKEN", "one-of-the-environment\n")
    assert Stack(tmp_path).token == "one-of-the-environment" != kept


@pytest.mark.parametrize("name", ["my env", "it's an env", "a&b", 'quo"ted', "$HOME"])
def test_ray_is_given_an_interpreter_whose_name_it_takes_whole(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / name
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(place)], check=True)
    monkeypatch.setattr(sys, "executable", str(place / "bin" / "python"))
    monkeypatch.setattr(sys, "prefix", str(place))
    folder = tmp_path / "ray"
    folder.mkdir()
    given = ray_head.interpreter(folder)
    assert given == ray_head.interpreter(folder) == str(folder / "env" / "bin" / "python")
    # As Ray starts its workers: by a shell, without quotes.
    said = subprocess.run(
        ["bash", "-c", f"exec {given} -c 'import sys; print(sys.prefix)'"], capture_output=True, text=True, check=True
    )
    assert Path(said.stdout.strip()).resolve() == place.resolve()
    assert ray_head.command({}, 1, folder, Limits(cpus=1))[0] == given


def test_an_interpreter_with_a_plain_name_is_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/opt/venv-3.11/bin/python3.11")
    assert ray_head.interpreter(tmp_path) == "/opt/venv-3.11/bin/python3.11"
    assert list(tmp_path.iterdir()) == []


def test_a_ray_that_dies_again_and_again_is_given_up_with_its_last_words(tmp_path: Path) -> None:
    stack = Stack(tmp_path)
    (tmp_path / "ray.log").write_text("it cannot live here\n")
    for _ in range(stacks.MOST_DEATHS - 1):
        stack._count_death()
        stack.check()
    stack._count_death()
    with pytest.raises(StackError, match=f"Ray ended {stacks.MOST_DEATHS} times in a row; .*\nit cannot live here"):
        stack.check()


def test_deaths_that_lie_apart_are_no_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stack, now = Stack(tmp_path), 1000.0
    for _ in range(3 * stacks.MOST_DEATHS):
        now += stacks.SOON + 1
        monkeypatch.setattr(stacks.time, "monotonic", lambda: now)  # noqa: B023
        stack._count_death()
        stack.check()
