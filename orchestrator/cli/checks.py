"""What `doctor` looks at, one check a function; each says what to do when it fails."""

import importlib.metadata
import os
import shutil
import sys
from collections.abc import Iterator

from orchestrator.cli.errors import CliError
from orchestrator.cli.target import Target, home

NEEDED = {"ray": "2.60", "torch": "2.13"}  # what was measured
ROOM = 2 << 30  # bytes

Check = tuple[str, bool, str]  # name, ok, what was found or what to do


def checks() -> Iterator[Check]:
    yield "python", sys.version_info >= (3, 11), sys.version.split()[0]
    for package, wanted in NEEDED.items():
        yield _package(package, wanted)
    yield _room("home", str(home()))
    yield _room("shared mem", "/dev/shm")
    yield _store()
    yield _server()


def _package(name: str, wanted: str) -> Check:
    try:
        found = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return (
            name,
            False,
            "not installed; pip install 'ganworks[all]' (a cron host that only submits does not need it)",
        )
    return (
        name,
        found.startswith(wanted),
        found if found.startswith(wanted) else f"{found}; {wanted} is what ganworks is made for",
    )


def _room(name: str, path: str) -> Check:
    while path != "/" and not os.path.exists(path):
        path = os.path.dirname(path)
    free = shutil.disk_usage(path).free
    return name, free >= ROOM, f"{free / 2**30:.1f} GiB free at {path}" + ("" if free >= ROOM else "; 2 GiB are needed")


def _store() -> Check:
    from jobs.store import StoreError, open_store

    uri = os.environ.get("GANWORKS_STORE") or str(home() / "store")
    try:
        capabilities = open_store(uri).probe()
    except StoreError as error:
        return "store", False, str(error)
    return "store", True, f"{uri} (put-if-absent {'honoured' if capabilities.put_if_absent else 'not honoured'})"


def _server() -> Check:
    target = Target()
    try:
        url, _ = target.resolve()
        return "server", True, f"{url}, version {target.client.get('/version')['version']}"
    except CliError as error:
        return "server", False, str(error)
