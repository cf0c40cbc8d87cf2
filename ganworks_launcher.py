"""How every process of ganworks begins: the command, the server, drivers, and Ray's workers.

`jobs`, `trainers` and `orchestrator` are names that other people's code has too, on PYTHONPATH or in a job's code. This
module has a name of its own: it takes our packages from where it lies itself, before anything else can be imported as
one of them, and makes the environment one in which ours and Ray's processes find each other (`jobs.environment`).
"""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent
NAMES = ("trainers", "jobs", "orchestrator")


def command() -> None:
    """Be the command line `ganworks`."""
    begin()
    importlib.import_module("orchestrator.cli").main()


def main() -> int:
    """Be one of our modules: `python -P -m ganworks_launcher MODULE [ARGUMENT…]`."""
    begin()
    for clash in clashes():
        print(clash, file=sys.stderr, flush=True)
    del sys.argv[0]
    return int(importlib.import_module(sys.argv[0]).main())


def begin() -> None:
    """Take the names and settle the environment; Ray calls this at the start of each worker."""
    take_names()
    from jobs import environment

    environment.settle()


def take_names() -> None:
    """Import our packages; whoever has a package imported finds its modules through it, wherever `sys.path` leads."""
    sys.path.insert(0, str(ROOT))
    try:
        for name in NAMES:
            importlib.import_module(name)
    finally:
        sys.path.remove(str(ROOT))


def clashes() -> Iterator[str]:
    """Yield a line for each folder or file that somebody put first under one of our names."""
    for entry in map(Path, dict.fromkeys(filter(None, sys.path))):
        if entry.resolve() == ROOT:
            return
        for name in NAMES:
            found = [path for path in (entry / name, entry / f"{name}.py") if path.exists()]
            if found:
                yield f"{found[0]} bears the name of a package of ganworks, which goes first; rename it if your code imports it"


if __name__ == "__main__":
    sys.exit(main())
