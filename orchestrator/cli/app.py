"""The command line put together: one file a noun, errors to stderr, exit codes of `errors.Exit`."""

import sys
from typing import Annotated

import typer

from orchestrator.cli import cluster, cron, data, info, jobs, logs, queues, stack
from orchestrator.cli.errors import CliError, Exit
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


def run() -> None:
    try:
        # click hands the code of a typer.Exit back as the result; a command's own result is None.
        code = app(standalone_mode=False) or Exit.DONE
    except CliError as error:
        code = _say(str(error), error.code)
    except typer.Abort:
        code = Exit.INTERRUPTED
    except KeyboardInterrupt:
        code = Exit.INTERRUPTED
    except BrokenPipeError:  # `ganworks list | head`
        code = Exit.DONE
    except Exception as error:
        code = _usage_or_crash(error)
    sys.exit(int(code))


def _say(message: str, code: int) -> int:
    print(f"error: {message}", file=sys.stderr)
    return code


def _usage_or_crash(error: Exception) -> int:
    """Print click's own usage errors, and what we did not foresee: a line for people, the traceback on request."""
    show = getattr(error, "show", None)
    if show is not None:
        show()
        return Exit.BAD_INPUT
    if isinstance(error, ModuleNotFoundError):
        return _say(
            f"this command needs {error.name}, which is not installed here; pip install 'ganworks[all]'", Exit.BAD_INPUT
        )
    import os

    if os.environ.get("GANWORKS_DEBUG"):
        raise error
    return _say(f"{type(error).__name__}: {error} (this is a fault of ganworks; GANWORKS_DEBUG=1 shows where)", 1)
