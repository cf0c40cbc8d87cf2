"""The command line put together: one file a noun, errors to stderr, exit codes of `errors.Exit`."""

import errno
import signal
import sys
from typing import Annotated

import typer

from orchestrator.cli.commands import cluster, cron, data, describe, info, jobs, login, logs, queues, stack
from orchestrator.cli.errors import CliError, Exit
from orchestrator.cli.output import close_streams, note, settle_streams
from orchestrator.cli.target import Target

app = typer.Typer(
    name="ganworks",
    help="A works for GANs: train, generate, keep. `ganworks run quickstart` shows it all.",
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for module in (stack, jobs, describe, data, cron, queues, logs, cluster, login, info):
    module.register(app)


@app.callback(invoke_without_command=True)
def server(
    context: typer.Context,
    url: Annotated[str | None, typer.Option(help="the orchestrator's address [GANWORKS_URL]")] = None,
    token: Annotated[str | None, typer.Option(help="its token [GANWORKS_TOKEN]")] = None,
    known: Annotated[str | None, typer.Option("--context", help="a server that `login` has made known")] = None,
) -> None:
    """Train GANs and make data sets of them, as jobs on a Ray cluster."""
    context.obj = Target(url=url, token=token, context=known)
    context.call_on_close(context.obj.close)
    if context.invoked_subcommand is None:
        _say_what_is_next(context.obj)


READER_LEFT = 128 + signal.SIGPIPE  # as a shell calls the end of a program whose output nobody reads, `… | head`


def _say_what_is_next(target: Target) -> None:
    """Answer a bare `ganworks`: what there is, and what a user would do now."""
    try:
        url, _ = target.resolve()
        version = target.client.get("/version")["version"]
        print(f"server  {url}, version {version}")
        print("next    ganworks submit quickstart --follow   train and generate, and see it happen")
        print("        ganworks list                         what runs and what ran")
    except CliError as error:
        print(f"server  {error}")
        print("next    ganworks run quickstart               everything on this machine, and nothing left running")
        print("        ganworks up                           a server here, to which jobs are submitted")
    print("        ganworks validate FILE                is a spec right?")
    print("        ganworks --help                       every command")


def run(arguments: list[str] | None = None) -> None:
    """Run a command line, that of the process where none is given, and exit."""
    settle_streams()
    code = int(_run(arguments))
    unwritten = close_streams()
    if unwritten:
        code = code or _say(unwritten, Exit.FAILED)
    elif unwritten == "":
        code = code or READER_LEFT
    sys.exit(code)


def _run(arguments: list[str] | None) -> int:
    try:
        # click hands the code of a typer.Exit back as the result; a command's own result is None.
        return app(arguments, standalone_mode=False) or Exit.DONE
    except CliError as error:
        return _say(str(error), error.code)
    except (typer.Abort, KeyboardInterrupt):
        return Exit.INTERRUPTED
    except SystemExit as left:  # click's own answer to a reader that left is 1, which is a failed job's
        return READER_LEFT if isinstance(left.__context__, BrokenPipeError) else int(left.code or 0)
    except Exception as error:
        return _usage_or_crash(error)


def _say(message: str, code: int) -> int:
    note(f"error: {message}")
    return code


def _usage_or_crash(error: Exception) -> int:
    """Print click's own usage errors, what the machine refuses, and what we did not foresee: a line for people, the
    traceback on request."""
    import os

    show = getattr(error, "show", None)
    if show is not None:
        show()
        return Exit.BAD_INPUT
    if isinstance(error, ModuleNotFoundError):
        return _say(
            f"this command needs {error.name}, which is not installed here; pip install 'ganworks[all]'", Exit.BAD_INPUT
        )
    if os.environ.get("GANWORKS_DEBUG"):
        raise error
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else "the output: " if error.errno == errno.ENOSPC else ""
        return _say(f"{where}{error.strerror}", Exit.FAILED)
    return _say(f"{type(error).__name__}: {error} (this is a fault of ganworks; GANWORKS_DEBUG=1 shows where)", 1)
