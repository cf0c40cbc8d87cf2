"""login, logout, context: which servers are known here, and which one commands speak to."""

import sys
from contextlib import closing
from typing import Annotated
from urllib.parse import urlsplit

import typer

from orchestrator.cli import contexts
from orchestrator.cli.errors import CliError
from orchestrator.cli.output import Format, Output, note, show
from orchestrator.cli.target import understand_url

context_app = typer.Typer(name="context", help="The servers that `login` has made known.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(metavar="CONTEXT", help="a name that `login` gave")]


def register(app: typer.Typer) -> None:
    for command in (login, logout):
        app.command()(command)
    app.add_typer(context_app)


def login(
    context: typer.Context,
    url: Annotated[str, typer.Argument(metavar="URL", help="the server's address")],
    name: Annotated[str | None, typer.Option(help="what to call it; its host by default")] = None,
) -> None:
    """Make a server known, with a token that is asked for (or read from stdin), and speak to it from now on."""
    from orchestrator.cli.client import Client

    url = understand_url(url)
    token = context.obj.token or _ask(url)
    if not token.isascii() or not token.isprintable() or " " in token:
        raise CliError("a token has no spaces, line ends or letters beyond ASCII; was it copied whole?")
    with closing(Client(url, token)) as client:
        client.get("/jobs", limit=1)
    kept, name = contexts.read(), name or urlsplit(url).netloc
    kept.known[name] = {"url": url, "token": token}
    kept.current = name
    contexts.write(kept)
    note(f"{name}: {url} takes the token; commands speak to it from now on")


def _ask(url: str) -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline().strip()
    import getpass

    return getpass.getpass(f"token for {url}: ").strip()


def logout(
    name: Annotated[str | None, typer.Argument(metavar="CONTEXT", help="the current one by default")] = None,
) -> None:
    """Forget a server and its token."""
    kept = contexts.read()
    name = name or kept.current
    if name is None:
        return note("no server is known here")
    kept.named(name)
    del kept.known[name]
    kept.current = None if kept.current == name else kept.current
    contexts.write(kept)
    note(f"{name}: forgotten")


@context_app.command("list")
def list_contexts(output: Output = Format.TABLE) -> None:
    """List the known servers."""
    kept = contexts.read()
    rows = [(name, each["url"], "yes" if name == kept.current else None) for name, each in sorted(kept.known.items())]
    value = {"current": kept.current, "contexts": {name: {"url": each["url"]} for name, each in kept.known.items()}}
    show(value, output, ("name", "url", "current"), rows)


@context_app.command()
def use(name: Name) -> None:
    """Speak to this server from now on."""
    kept = contexts.read()
    kept.named(name)
    kept.current = name
    contexts.write(kept)
    note(f"{name}: {kept.known[name]['url']}")
