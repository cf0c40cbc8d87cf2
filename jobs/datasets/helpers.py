"""Find a pretrained network that a family asks for: in the cache, or in the mirror; held to its sha256."""

import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from jobs import digest
from trainers.gan.family import Helper


class HelperNotFound(ValueError):
    """A pretrained network is nowhere; the message says where was looked, and how people get it."""


def find_helper(helper: Helper, cache: Path) -> Path:
    """Return the file of a pretrained network, copied into the cache. Raises HelperNotFound."""
    kept = cache / helper.sha256[:16] / helper.file
    tried = []
    for place in (kept, *_mirrored(helper.file)):
        if not place.is_file():
            tried.append(f"{place}: not there")
        elif digest.of_file(place) != helper.sha256:
            tried.append(f"{place}: another content (sha256 differs)")
        else:
            return place if place == kept else _copied(place, kept)
    looked = "".join(f"\n  {line}" for line in tried)
    raise HelperNotFound(
        f"the family needs the pretrained network {helper.file}, which is nowhere to be had; {helper.where}, and put it "
        f"into the folder `helpers` of GANWORKS_DATA_MIRROR. Looked at:{looked}"
    )


def _mirrored(file: str) -> Iterator[Path]:
    if mirror := os.environ.get("GANWORKS_DATA_MIRROR"):
        yield from (Path(mirror) / "helpers" / file, Path(mirror) / file)


def _copied(place: Path, kept: Path) -> Path:
    """Copy it whole or not at all: ranks of one machine may do so at once."""
    kept.parent.mkdir(parents=True, exist_ok=True)
    half = kept.with_name(f".{kept.name}.{secrets.token_hex(4)}")
    shutil.copyfile(place, half)
    os.replace(half, kept)
    return kept
