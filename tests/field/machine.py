"""What only root can take from a machine: folders that are read-only or full, CPUs and memory of a cgroup, a known user."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.field.scene import Scene


class Impossible(Exception):
    """This machine cannot be made so; the message says what it lacks."""


def mounted(scene: Scene, *mounts: str) -> None:
    """Run in a mount namespace of its own, with these `mount` arguments done."""
    _as_root("unshare")
    script = " && ".join([*(f"mount {each}" for each in mounts), 'exec "$@"'])
    scene.prefix = ["unshare", "--mount", "sh", "-c", script, "sh", *scene.prefix]


def as_user(scene: Scene, number: int) -> None:
    """Run as a user of this number, whom passwd does not know; the scene's folder becomes that user's."""
    _as_root("setpriv")
    for path in [scene.folder, *scene.folder.rglob("*")]:
        os.chown(path, number, number)
    # It may read what root has installed for itself alone, such as an interpreter below /root; it may write nothing there.
    reads = ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
    scene.prefix = [*scene.prefix, "setpriv", f"--reuid={number}", f"--regid={number}", "--clear-groups", *reads]


def in_cgroup(scene: Scene, controller: str, **values: str) -> None:
    """Run in a cgroup (v1 or v2) with these limits. `values`: by the names of v1, and of v2 with dots as underlines."""
    _as_root("sh")
    first, second = Path("/sys/fs/cgroup") / controller, Path("/sys/fs/cgroup")
    root = first if first.is_dir() else second
    group = root / f"ganworks-field-{os.getpid()}-{controller}"
    try:
        group.mkdir()
        names = [name for name in values if (group / _file(name)).exists()]
        for name in names:
            (group / _file(name)).write_text(values[name])
    except OSError as error:
        raise Impossible(f"no cgroup of {controller} ({error.strerror})") from None
    scene.at_end.append(group.rmdir)
    if not names:
        raise Impossible(f"no cgroup of {controller}")
    scene.prefix = ["sh", "-c", f'echo $$ > {group}/cgroup.procs && exec "$@"', "sh", *scene.prefix]


def _file(name: str) -> str:
    return name.replace("__", ".")


def _as_root(tool: str) -> None:
    if os.getuid() != 0 or shutil.which(tool) is None:
        raise Impossible(f"needs root and {tool}")


def environment_with_space(scene: Scene) -> None:
    """A virtual environment whose path has a space and a quote: its own interpreter, our installed packages."""
    place = scene.folder / "it's my env"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(place)], check=True)
    (packages,) = place.glob("lib/python*/site-packages")
    ours = next(path for path in sys.path if path.endswith("site-packages"))
    (packages / "ours.pth").write_text(f"import site; site.addsitedir({ours!r})\n")
    code = "import ganworks_launcher; ganworks_launcher.command()"
    scene.command = [str(place / "bin" / "python"), "-c", code, *scene.command[1:]]


def without(scene: Scene, code: str) -> None:
    """Every Python process of the scene lacks something: `code` is run at its start."""
    folder = scene.folder / "lacking"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(code)
    scene.env["PYTHONPATH"] = str(folder)


NO_LOCKS = """\
import errno, fcntl, os
real = fcntl.flock
def flock(file, operation):
    number = file if isinstance(file, int) else file.fileno()
    if "/home/" in os.readlink(f"/proc/self/fd/{number}"):
        raise OSError(errno.ENOLCK, "No locks available")
    return real(file, operation)
fcntl.flock = flock
"""
NO_LINKS = """\
import errno, os
def link(source, target, **options):
    raise PermissionError(errno.EPERM, "Operation not permitted", str(source))
os.link = link
"""
