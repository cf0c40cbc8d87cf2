"""Locks among the processes of one machine. They go with the process that has them, however it ends."""

import errno
import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jobs import digest

# What file systems without locks answer: NFS without its lock service, some FUSE and container mounts.
_NONE_HERE = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL)


class Held(Exception):
    """Another process has the lock."""


@contextmanager
def held(path: Path, *, wait: bool = True) -> Iterator[None]:
    """Have the lock of this path while the block runs. Raises Held, if it is not to wait."""
    file = take(path, wait=wait)
    try:
        yield
    finally:
        os.close(file)


def take(path: Path, *, wait: bool = True) -> int:
    """Return an open file that has the lock until it is closed. Raises Held, if it is not to wait."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        return _locked(path, wait)
    except OSError as error:
        if error.errno not in _NONE_HERE:
            raise
        return _locked(substitute(path), wait)


def substitute(path: Path) -> Path:
    """Return where a path is locked whose file system has no locks: on this machine's own disk, all that a lock is for."""
    folder = Path(tempfile.gettempdir()) / f"ganworks-locks-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder / digest.of_bytes(os.fsencode(path.absolute()))[:24]


def _locked(path: Path, wait: bool) -> int:
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        os.close(file)
        raise Held(str(path)) from None
    except BaseException:
        os.close(file)
        raise
    return file
