"""Find a built-in data set's file: cache, mirror, the distribution's installed files, official place.

The works never runs a package manager itself; the error says which package would bring the file.
"""

import gzip
import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx

from jobs import digest
from jobs.datasets.builtin import Builtin, SourceFile

Report = Callable[[str, int, int | None], None]  # (what, done, total) in bytes or pictures; total None: unknown


class NotToBeHad(ValueError):
    """A built-in data set is nowhere; the message says where was looked."""


def find_idx(data: Builtin, split: str, cache: Path, report: Report) -> Path:
    """Return the folder with a split's IDX files, each checked."""
    folder = cache / data.name
    folder.mkdir(parents=True, exist_ok=True)
    for file in data.splits[split]:
        target = folder / file.name.removesuffix(".gz")
        if not (target.is_file() and _digest(target.read_bytes()) == file.sha256):
            _write(target, _find(data, file, report))
    return folder


def _find(data: Builtin, file: SourceFile, report: Report) -> bytes:
    tried = []
    for place in candidates(data, file.name):
        content = _content(place)
        if content is not None and _digest(content) == file.sha256:
            return content
        tried.append(f"{place}: {'not there' if content is None else 'another content (sha256 differs)'}")
    url = f"{data.official}/{file.name}"
    content, reason = download(url, report)
    if content is not None and _digest(_plain(content)) == file.sha256:
        return _plain(content)
    tried.append(f"{url}: {reason or 'another content (sha256 differs)'}")
    raise NotToBeHad(nowhere(data, file.name, tried))


def nowhere(data: Builtin, name: str, tried: list[str]) -> str:
    looked = "".join(f"\n  {line}" for line in tried)
    return f"{data.name}: {name} is nowhere to be had; {data.install}, or set GANWORKS_DATA_MIRROR to a folder that holds it. Looked at:{looked}"


def candidates(data: Builtin, name: str) -> Iterator[Path]:
    """Yield local places of a file, gzipped or plain."""
    mirror = os.environ.get("GANWORKS_DATA_MIRROR")
    folders = [Path(mirror) / data.name, Path(mirror)] if mirror else []
    for folder in [*folders, *map(Path, data.installed)]:
        yield folder / name
        if name.endswith(".gz"):
            yield folder / name.removesuffix(".gz")


def _content(place: Path) -> bytes | None:
    try:
        return _plain(place.read_bytes())
    except (OSError, EOFError, gzip.BadGzipFile):
        return None


def _plain(content: bytes) -> bytes:
    return gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content


def _digest(content: bytes) -> str:
    return digest.of_bytes(content)


def download(url: str, report: Report) -> tuple[bytes | None, str | None]:
    """Return (content, None), or (None, why not)."""
    try:
        with httpx.stream("GET", url, follow_redirects=True, timeout=httpx.Timeout(30, connect=10)) as answer:
            answer.raise_for_status()
            total = int(answer.headers.get("content-length", 0)) or None
            blocks, done = [], 0
            for block in answer.iter_raw(1 << 20):
                blocks.append(block)
                done += len(block)
                report(f"fetching {url.rpartition('/')[2]}", done, total)
            return b"".join(blocks), None
    except httpx.HTTPStatusError as error:
        return None, f"HTTP {error.response.status_code}"
    except (
        httpx.HTTPError,
        httpx.InvalidURL,
        ImportError,
        ValueError,
    ) as error:  # the last three: of a proxy's setting
        return None, f"cannot be reached ({type(error).__name__}: {str(error).partition('. ')[0]})"


def _write(target: Path, content: bytes) -> None:
    half = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    half.write_bytes(content)
    os.replace(half, target)
