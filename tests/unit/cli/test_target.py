"""Which server, and with which token: one that is kept goes to its own server and to no other."""

import json
import stat
from pathlib import Path

import pytest
from commands import Commands
from server_bench import TOKEN

from orchestrator.cli import contexts
from orchestrator.cli.errors import CliError, Exit
from orchestrator.cli.target import Target, understand_url


def stack(home: Path, url: str = "http://127.0.0.1:8420", token: str = "of-the-home") -> None:
    """What `up` leaves in a home."""
    home.mkdir(exist_ok=True)
    (home / "stack.json").write_text(json.dumps({"url": url}))
    (home / "token").write_text(f"{token}\n")


def known(**by_name: tuple[str, str]) -> None:
    made = {name: {"url": url, "token": token} for name, (url, token) in by_name.items()}
    contexts.write(contexts.Contexts(current=next(iter(made)), known=made))


def test_what_up_has_started_is_found(empty_home: Path) -> None:
    stack(empty_home)
    assert Target().resolve() == ("http://127.0.0.1:8420", "of-the-home")


def test_without_any_server_the_ways_to_one_are_named(empty_home: Path) -> None:
    with pytest.raises(CliError, match=r"ganworks up.*ganworks login URL.*GANWORKS_URL.*--url") as error:
        Target().resolve()
    assert error.value.code == Exit.UNREACHABLE


def test_the_homes_token_goes_to_no_other_host(empty_home: Path) -> None:
    stack(empty_home)
    with pytest.raises(CliError, match="no token for http://other:8420: `ganworks login http://other:8420`") as error:
        Target(url="http://other:8420").resolve()
    assert error.value.code == Exit.REFUSED


def test_the_homes_token_goes_to_a_server_of_this_machine(empty_home: Path) -> None:
    """Such as one that `serve` runs in the foreground."""
    stack(empty_home)
    for url in ("http://localhost:9000", "http://[::1]:9000"):
        assert Target(url=url).resolve()[1] == "of-the-home"


def test_the_environments_token_goes_with_its_server(empty_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANWORKS_TOKEN", "of-the-environment")
    assert Target(url="http://any:1").resolve() == ("http://any:1", "of-the-environment")
    monkeypatch.setenv("GANWORKS_URL", "http://mine:1/")
    assert Target().resolve() == ("http://mine:1", "of-the-environment")
    with pytest.raises(CliError, match="no token for http://any:1"):
        Target(url="http://any:1").resolve()
    assert Target(url="http://any:1", token="said").resolve() == ("http://any:1", "said")


def test_a_context_goes_before_what_runs_here_and_behind_what_is_said(
    empty_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack(empty_home)
    known(work=("https://works:443", "w"), lab=("http://lab:8420", "l"))
    assert Target().resolve() == ("https://works:443", "w")
    assert Target(context="lab").resolve() == ("http://lab:8420", "l")
    assert Target(url="http://lab:8420").resolve() == ("http://lab:8420", "l"), "its token is known"
    assert Target(url="http://127.0.0.1:8420").resolve() == ("http://127.0.0.1:8420", "of-the-home")
    monkeypatch.setenv("GANWORKS_CONTEXT", "lab")
    assert Target().resolve() == ("http://lab:8420", "l")
    with pytest.raises(CliError, match="no token for http://lab:8421"):
        Target(url="http://lab:8421").resolve()


def test_an_unknown_context_names_the_known(empty_home: Path) -> None:
    known(work=("http://works:1", "w"), lab=("http://lab:1", "l"))
    with pytest.raises(CliError, match="no context 'wrok'; there are: lab, work"):
        Target(context="wrok").resolve()


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("localhost:8420", "http://localhost:8420"),
        ("works.example.org", "http://works.example.org"),
        ("https://works/", "https://works"),
        (" http://works:8420 \n", "http://works:8420"),
        ("[::1]:8420", "http://[::1]:8420"),
        ("http://works/ganworks/", "http://works/ganworks"),
    ],
)
def test_an_address_is_understood(said: str, meant: str) -> None:
    assert understand_url(said) == meant


@pytest.mark.parametrize(
    "said",
    [
        "",
        "ftp://works",
        "http://",
        "http://works:eighty",
        "http://a b",
        "http://[::1",
        "localhost:99999",
        "http://a\nb",
    ],
)
def test_what_is_no_address_is_told(said: str) -> None:
    with pytest.raises(CliError, match="is no address of a server; such as http://localhost:8420"):
        understand_url(said)


def test_login_keeps_what_works_and_nothing_else(
    ganworks: Commands, empty_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GANWORKS_URL")
    monkeypatch.delenv("GANWORKS_TOKEN")
    wrong = ganworks("--token", "wrong", "login", ganworks.url)
    assert wrong.code == Exit.REFUSED
    assert not contexts.path().exists()
    ran = ganworks("--token", TOKEN, "login", ganworks.url.removeprefix("http://"), "--name", "bench")
    assert ran.err == f"bench: {ganworks.url} takes the token; commands speak to it from now on\n"
    assert stat.S_IMODE(contexts.path().stat().st_mode) == 0o600
    assert ganworks("list").code == 0
    shown = ganworks("context", "list", "-o", "json")
    assert json.loads(shown.out) == {"current": "bench", "contexts": {"bench": {"url": ganworks.url}}}
    assert ganworks("logout").err == "bench: forgotten\n"
    assert ganworks("list").code == Exit.UNREACHABLE
    assert TOKEN not in contexts.path().read_text()


def test_login_reads_a_token_from_a_pipe(ganworks: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    import io

    monkeypatch.setattr("sys.stdin", io.StringIO(f"{TOKEN}\n"))
    assert ganworks("login", ganworks.url).code == 0
    monkeypatch.setattr("sys.stdin", io.StringIO("two words\n"))
    assert "was it copied whole?" in ganworks("login", ganworks.url).err


def test_one_of_several_is_chosen(ganworks: Commands) -> None:
    known(work=("http://works:1", "w"), bench=(ganworks.url, TOKEN))
    assert ganworks("context", "use", "bench").err == f"bench: {ganworks.url}\n"
    assert contexts.read().current == "bench"
    assert ganworks("context", "use", "nobody").code == Exit.BAD_INPUT
    assert ganworks("context", "list").lines[1].split() == ["bench", ganworks.url, "yes"]
    assert ganworks("logout", "work").code == 0
    assert contexts.read().current == "bench"


@pytest.mark.parametrize("text", ["", "[]", '{"current": 1}', "{", '{"current": "a", "contexts": {"a": 3}}'])
def test_a_file_that_is_not_ours_is_told(empty_home: Path, text: str) -> None:
    empty_home.mkdir()
    contexts.path().write_text(text)
    with pytest.raises(CliError, match=r"contexts.json cannot be read .*; remove it and run `ganworks login` again"):
        contexts.read()


def test_a_bare_command_says_what_to_do_next(ganworks: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = ganworks()
    assert ran.code == 0
    assert ran.lines[0].startswith(f"server  {ganworks.url}, version ")
    assert "ganworks submit quickstart --follow" in ran.out
    monkeypatch.delenv("GANWORKS_URL")
    ran = ganworks()
    assert "ganworks run quickstart" in ran.out
    assert "ganworks --help" in ran.out
