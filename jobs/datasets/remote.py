"""A data source in object storage -> files in the cache."""

from pathlib import Path

from jobs import digest
from jobs.datasets.find import NotToBeHad, Report
from jobs.store import open_store


def fetch(uri: str, cache: Path, report: Report) -> Path:
    """Return the object or the prefix `s3://bucket/key` as a local file or folder; what is there already is not fetched again."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    store = open_store(f"s3://{bucket}")
    infos = [info for info in store.list(key) if info.key == key or info.key.startswith(key.rstrip("/") + "/")]
    if not infos:
        raise NotToBeHad(f"{uri}: nothing is there")
    folder = cache / "s3" / digest.of_bytes(uri.encode())[:16]
    done, total = 0, sum(info.size for info in infos)
    for info in infos:
        target = folder / _relative(info.key, key)
        if not _is_current(target, info.size, info.modified):
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                store.get_file(info.key, target)
            except (FileExistsError, NotADirectoryError, IsADirectoryError):
                reason = "is an object, and a folder of others: files cannot be both"
                raise NotToBeHad(f"{uri}: {target.relative_to(folder)} {reason}; rename one of them") from None
        done += info.size
        report(f"fetching {uri}", done, total)
    return folder / _relative(key, key) if infos[0].key == key else folder


def _relative(object_key: str, key: str) -> str:
    """Where an object goes below the cache's folder; `..` in a key stays inside."""
    tail = object_key.rpartition("/")[2] if object_key == key else object_key[len(key.rstrip("/")) + 1 :]
    return "/".join(part for part in tail.split("/") if part not in ("", ".", ".."))


def _is_current(target: Path, size: int, modified: float) -> bool:
    return target.is_file() and target.stat().st_size == size and target.stat().st_mtime >= modified
