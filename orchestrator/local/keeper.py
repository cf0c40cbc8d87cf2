"""The process behind `ganworks up`: keeps the stack until it is told to end (SIGTERM, from `down`)."""

import argparse
import signal
import sys
import threading
from pathlib import Path
from types import FrameType

from orchestrator.local.stack import Stack, StackError


class _Over(BaseException):
    """Told to end while the stack was being started."""


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("home", type=Path)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--cpus", type=int)
    options = parser.parse_args()
    over, started = threading.Event(), threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        over.set()
        if not started.is_set():
            raise _Over

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, end)
    stack = Stack(options.home, host=options.host, port=options.port, cpus=options.cpus)
    try:
        stack.start(lambda text: print(text, flush=True))
        started.set()
    except StackError as error:
        print(f"error: {error}", flush=True)
        return 2
    except _Over:
        return 0
    print("ready", flush=True)
    over.wait()
    stack.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
