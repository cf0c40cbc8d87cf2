"""What `doctor` looks at, one check a function; each says what to do when it fails."""

import fcntl
import getpass
import importlib
import importlib.metadata
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from orchestrator import addresses
from orchestrator.cli.errors import CliError
from orchestrator.cli.target import Target, home
from orchestrator.local import limits, processes, ray_head

NEEDED = {"ray": "2.60", "torch": "2.13"}  # what was measured
ROOM = 2 << 30  # bytes

Check = tuple[str, bool, str]  # name, ok, what was found or what to do


def checks() -> Iterator[Check]:
    """Yield every check, whatever the others meet: one that cannot be made says why."""
    for name, check in _CHECKS.items():
        try:
            yield check()
        except Exception as error:
            yield name, False, str(error) or type(error).__name__


def _python() -> Check:
    return "python", sys.version_info >= (3, 11), sys.version.split()[0]


def _names() -> Check:
    """Look whether somebody else's modules have the names of ours."""
    found = list(importlib.import_module("ganworks_launcher").clashes())
    return "names", not found, found[0] if found else f"ours are in {Path(__file__).parents[2]}"


def _user() -> Check:
    """Name the user; without an entry in passwd the launcher has given it a name."""
    return "user", True, f"{getpass.getuser()}, home folder {home()}"


def _temporary() -> Check:
    fit = [
        place for place in map(Path, (tempfile.gettempdir(), "/tmp", "/var/tmp", "/dev/shm")) if ray_head.is_fit(place)
    ]
    if not fit:
        return "temporary", False, "no folder for Ray's sockets can be written; set TMPDIR to one with a short path"
    return "temporary", True, f"{fit[0]}, for Ray's sockets"


def _locks() -> Check:
    """Look for locks and links: where a home's file system has none, ganworks does without, and there is nothing to mend."""
    with tempfile.TemporaryDirectory(dir=_existing(str(home()))) as folder:
        Path(folder, "a").touch()
        lacks = []
        try:
            os.link(Path(folder, "a"), Path(folder, "b"))
        except OSError:
            lacks.append("hard links")
        try:
            with Path(folder, "a").open() as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lacks.append("locks")
    said = f"the home's file system has no {' and no '.join(lacks)}; it is done without"
    return "files", True, said if lacks else "locks and hard links work"


def _cpus() -> Check:
    allowed = limits.find()
    memory = f", {allowed.memory / 2**30:.1f} GiB of memory" if allowed.memory else ""
    less = "; less than one is taken for one" if allowed.cpus < 1 else ""
    return "cpus", True, f"{allowed.cpus:g}{memory}, as affinity and cgroups allow{less}"


def _loopback() -> Check:
    addresses.listen("127.0.0.1", 0).close()
    taken = processes.is_taken("127.0.0.1", 8420)
    return "loopback", True, "127.0.0.1" + ("; port 8420 is in use, `up --port` takes another" if taken else "")


def _proxies() -> Check:
    names = [
        name
        for name in ("http_proxy", "https_proxy", "all_proxy")
        if os.environ.get(name) or os.environ.get(name.upper())
    ]
    if not names:
        return "proxies", True, "none"
    usable = find_spec("socksio") or not any(
        "socks" in (os.environ.get(n) or os.environ.get(n.upper(), "")) for n in names
    )
    said = f"{', '.join(names)}: for remote data, never for ganworks itself"
    return "proxies", bool(usable), said if usable else f"{said}; a SOCKS proxy needs: pip install 'httpx[socks]'"


def _ray_variables() -> Check:
    """Name what `run` and `up` do not take over from this shell."""
    found = [name for name in ray_head.FOREIGN if name in os.environ]
    return "ray settings", True, f"{', '.join(found)}: not for the embedded Ray" if found else "none of another Ray"


def _locale() -> Check:
    encoding = sys.stdout.encoding
    plain = "" if encoding.lower().replace("-", "") == "utf8" else "; what it cannot show is shown as codes"
    return "locale", True, f"{encoding}{plain}"


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


def _home() -> Check:
    name, ok, text = _room("home", str(home()))
    place = _existing(str(home()))
    return (
        (name, ok, text)
        if os.path.isdir(place) and os.access(place, os.W_OK)
        else (name, False, f"{place} cannot be written; set GANWORKS_HOME")
    )


def _room(name: str, path: str) -> Check:
    path = _existing(path)
    free = shutil.disk_usage(path).free
    return name, free >= ROOM, f"{free / 2**30:.1f} GiB free at {path}" + ("" if free >= ROOM else "; 2 GiB are needed")


def _existing(path: str) -> str:
    """Return the path, or the nearest folder above it that is there."""
    while path != "/" and not os.path.exists(path):
        path = os.path.dirname(path)
    return path


def _store() -> Check:
    from jobs.store import StoreError, open_store

    uri = os.environ.get("GANWORKS_STORE") or str(home() / "store")
    try:
        capabilities = open_store(uri).probe()
    except StoreError as error:
        return "store", False, str(error)
    return (
        "store",
        True,
        f"{uri} (put-if-absent {'honoured' if capabilities.put_if_absent else 'not honoured: done without'})",
    )


def _server() -> Check:
    target = Target()
    try:
        url, _ = target.resolve()
        return "server", True, f"{url}, version {target.client.get('/version')['version']}"
    except CliError as error:
        return "server", False, str(error)


_CHECKS: dict[str, Callable[[], Check]] = {
    "python": _python, **{name: partial(_package, name, wanted) for name, wanted in NEEDED.items()},
    "names": _names, "user": _user, "home": _home, "files": _locks, "temporary": _temporary,
    "shared mem": partial(_room, "shared mem", "/dev/shm"), "cpus": _cpus, "loopback": _loopback, "proxies": _proxies,
    "ray settings": _ray_variables, "locale": _locale, "store": _store, "server": _server,
}  # fmt: skip
