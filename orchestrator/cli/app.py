"""The command line put together: one file a noun, errors to stderr, exit codes of `errors.Exit`."""

import errno
import signal
import sys
from typing import Annotated

import typer

from orchestrator.cli import cluster, cron, data, info, jobs, logs, queues, stack
from orchestrator.cli.errors import CliError, Exit
from orchestrator.cli.output import close_streams, note, settle_streams
from orchestrator.cli.target import Target

app = typer.Typer(
    name="ganworks",
    help="A works for GANs: train, generate, keep. `ganworks run quickstart` shows it all.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for module in (stack, jobs, data, cron, queues, logs, cluster, info):
    module.register(app)


@app.callback()
def server(
    context: typer.Context,
    url: Annotated[str | None, typer.Option(help="the orchestrator's address [GANWORKS_URL]")] = None,
    token: Annotated[str | None, typer.Option(help="its token [GANWORKS_TOKEN]")] = None,
) -> None:
    context.obj = Target(url=url, token=token)


READER_LEFT = 128 + signal.SIGPIPE  # as a shell calls the end of a program whose output nobody reads, `… | head`


def run() -> None:
    settle_streams()
    code = int(_run())
    unwritten = close_streams()
    if unwritten:
        code = code or _say(unwritten, Exit.FAILED)
    elif unwritten == "":
        code = code or READER_LEFT
    sys.exit(code)


def _run() -> int:
    try:
        # click hands the code of a typer.Exit back as the result; a command's own result is None.
        return app(standalone_mode=False) or Exit.DONE
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
    """click's own usage errors, what the machine refuses, and what we did not foresee: a line for people, the traceback on
    request."""
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
