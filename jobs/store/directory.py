"""A directory as an object store: for one machine, or a file system that all of them mount."""

import errno
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from jobs import digest, locks
from jobs.store.probe import probe
from jobs.store.protocol import (
    AccessRefused,
    AlreadyExists,
    Capabilities,
    NotFound,
    ObjectInfo,
    Progress,
    StoreError,
    StoreFull,
)

_UPLOADS = ".uploads"  # half-written files live here, and never appear in a listing
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)
RACES = 1000  # tries of one put beside deletes that empty its folder; each takes microseconds


class DirectoryStore:
    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.uri = str(self.root)

    def put(self, key: str, data: bytes, *, if_absent: bool = False) -> None:
        with self._explained(key, writing=True), self._half_written() as half:
            with half.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            if if_absent:
                self._place(key, partial(self._link, half, key, data))
            else:
                self._place(key, partial(os.replace, half, self._path(key)))

    def _link(self, half: Path, key: str, data: bytes) -> None:
        """Link it. Raises FileNotFoundError when what was there first has been deleted since: then it is our turn."""
        try:
            _link(half, self._path(key))
        except FileExistsError:
            if self._path(key).read_bytes() != data:
                raise AlreadyExists(f"{self.locate(key)}: already there with another content") from None

    def put_file(self, key: str, path: Path, *, progress: Progress | None = None) -> None:
        with self._explained(key, writing=True), self._half_written() as half:
            _copy(path, half, progress)
            self._place(key, partial(os.replace, half, self._path(key)))

    def copy(self, source: str, target: str) -> None:
        with self._half_written() as half:
            with self._explained(source):
                _copy(self._path(source), half, None)
            with self._explained(target, writing=True):
                self._place(target, partial(os.replace, half, self._path(target)))

    def _place(self, key: str, move: Callable[[], None]) -> None:
        """Move a written file to its place. A delete beside us takes empty folders away, also ours: it is made again."""
        folder = self._path(key).parent
        for _ in range(RACES):
            try:
                _make(folder)
                return move()
            except FileNotFoundError:
                continue
        raise StoreError(f"{self.locate(key)}: cannot be written: {folder} vanishes again and again")

    def get(self, key: str, *, start: int = 0, stop: int | None = None) -> bytes:
        with self._explained(key), self._path(key).open("rb") as file:
            file.seek(start)
            return file.read() if stop is None else file.read(stop - start)

    def get_file(self, key: str, path: Path, *, progress: Progress | None = None) -> None:
        half = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        with self._explained(key):
            try:
                _copy(self._path(key), half, progress)
                os.replace(half, path)
            finally:
                half.unlink(missing_ok=True)

    def head(self, key: str) -> ObjectInfo | None:
        try:
            return self._info(self._path(key))
        except (FileNotFoundError, NotADirectoryError):
            return None

    def sha256(self, key: str) -> str:
        with self._explained(key):
            return digest.of_file(self._path(key))

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        with self._explained(prefix):
            keys = sorted(key for key in self._keys(prefix.rpartition("/")[0]) if key.startswith(prefix))
        for key in keys:
            info = self.head(key)
            if info:
                yield info

    def _keys(self, folder: str) -> Iterator[str]:
        for path, folders, files in os.walk(self.root / folder, onerror=_unless_gone):
            folders[:] = [name for name in folders if name != _UPLOADS]
            inside = Path(path).relative_to(self.root)
            yield from ((inside / name).as_posix() for name in files if (Path(path) / name).is_file())

    def delete(self, key: str) -> None:
        path = self._path(key)
        with self._explained(key):
            path.unlink(missing_ok=True)
        for folder in path.parents:  # a directory without objects is nothing in an object store
            if folder == self.root or not _remove_if_empty(folder):
                break

    def probe(self) -> Capabilities:
        return probe(self)

    def locate(self, key: str) -> str:
        return f"{self.uri}/{key}"

    def _path(self, key: str) -> Path:
        path = self.root / key
        if not key or key.endswith("/") or ".." in Path(key).parts or Path(key).is_absolute():
            raise StoreError(f"{key!r} is not a key")
        return path

    def _info(self, path: Path) -> ObjectInfo:
        stat = path.stat()
        return ObjectInfo(key=path.relative_to(self.root).as_posix(), size=stat.st_size, modified=stat.st_mtime)

    @contextmanager
    def _half_written(self) -> Iterator[Path]:
        folder = self.root / _UPLOADS
        folder.mkdir(parents=True, exist_ok=True)
        half = folder / secrets.token_hex(8)
        try:
            yield half
        finally:
            half.unlink(missing_ok=True)

    @contextmanager
    def _explained(self, key: str, writing: bool = False) -> Iterator[None]:
        try:
            yield
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
            if writing:
                raise StoreError(
                    f"{self.root / key}: cannot be written ({error.strerror}); choose another GANWORKS_STORE"
                ) from None
            raise NotFound(f"{self.root / key}: not found") from None
        except PermissionError as error:
            raise AccessRefused(
                f"{error.filename or self.root / key}: permission denied; check who owns the store"
            ) from None
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise StoreFull(
                    f"{self.root}: no room left; free some space, or set GANWORKS_STORE to another place"
                ) from None
            raise StoreError(f"{self.root / key}: {error.strerror or error}") from error


def _link(half: Path, path: Path) -> None:
    """Give what was written its name, unless the name is taken: then FileExistsError."""
    try:
        os.link(half, path)  # atomic
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        with locks.held(half.parent / "names.lock"):  # FAT, some network and container file systems have none
            if path.exists():
                raise FileExistsError(path) from None
            os.replace(half, path)


def _copy(source: Path, target: Path, progress: Progress | None) -> None:
    with source.open("rb") as reader, target.open("wb") as writer:
        if progress is None:
            shutil.copyfileobj(reader, writer, 1 << 20)
        else:
            while block := reader.read(1 << 20):
                writer.write(block)
                progress(len(block))
        writer.flush()
        os.fsync(writer.fileno())


def _make(folder: Path) -> None:
    """Make a folder. Raises FileNotFoundError where a delete beside us took it away meanwhile."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:  # of a file in its place, and also when it was there and is no more
        if Path(error.filename).is_file():
            raise NotADirectoryError(errno.ENOTDIR, "a file is where a folder is needed", error.filename) from None
        raise FileNotFoundError(folder) from None


def _unless_gone(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def _remove_if_empty(folder: Path) -> bool:
    try:
        folder.rmdir()
    except OSError:
        return False
    return True
