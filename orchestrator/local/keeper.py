"""The process behind `ganworks up`: keeps the stack until it is told to end (SIGTERM, from `down`)."""

import argparse
import signal
import sys
import threading
from pathlib import Path

from orchestrator.local.stack import Stack, StackError


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("home", type=Path)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--cpus", type=int)
    options = parser.parse_args()
    over = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: over.set())
    stack = Stack(options.home, host=options.host, port=options.port, cpus=options.cpus)
    try:
        stack.start(lambda text: print(text, flush=True))
    except StackError as error:
        print(f"error: {error}", flush=True)
        return 2
    print("ready", flush=True)
    over.wait()
    stack.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
