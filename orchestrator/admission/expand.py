"""A matrix becomes jobs, bounded before they are made."""

import json
from collections.abc import Sequence
from dataclasses import replace

from jobs.specs.errors import Problem, SpecError
from jobs.specs.spec import Plain
from orchestrator.policies import sweeps

MOST_JOBS = 2000  # of one submission: they are entered in one transaction
MOST_BYTES = 16 << 20  # of all combinations of its matrices, as JSON


def expanded(documents: Sequence[Plain]) -> tuple[list[Plain], dict[int, int]]:
    """Return each document, after a sweep's the jobs of its combinations; and the document that each comes from."""
    found: list[tuple[int, Plain]] = []
    room = MOST_BYTES
    for number, document in enumerate(documents):
        found.append((number, document))
        wrong = sweeps.problem(document) or _too_much(document, len(found), room)
        if wrong:
            raise SpecError([replace(wrong, document=number)])
        if document.get("matrix") and isinstance(document.get("name"), str):
            room -= _size(document) * sweeps.count(document)
            found += [(number, child) for child in sweeps.children(document)]
    return [document for _, document in found], {n: number for n, (number, _) in enumerate(found)}


def _too_much(document: Plain, before: int, room: int) -> Problem | None:
    """Refuse too large a matrix before it is made: what it becomes is paid in rows of the database."""
    if not document.get("matrix"):
        return None
    if before + sweeps.count(document) > MOST_JOBS:
        return Problem(path="matrix", message=f"{MOST_JOBS} jobs are the most of one submission; submit in parts")
    if _size(document) * sweeps.count(document) > room:
        message = f"all combinations together are more than {MOST_BYTES >> 20} MiB; make the document smaller"
        return Problem(path="matrix", message=message)
    return None


def _size(document: Plain) -> int:
    return len(json.dumps(document))
