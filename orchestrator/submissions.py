"""A submission as one transaction: all its jobs or none, and the same answer for the same key."""

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection

from orchestrator import db
from orchestrator.admit import Admitted, Conflict
from orchestrator.states import Status


def enter(connection: Connection, admitted: Sequence[Admitted], now: float) -> None:
    """Rows and events of the new jobs, those that are needed first."""
    for each in admitted:
        if each.is_new:
            db.jobs.add(connection, each.job)
            waits = each.job.status == Status.WAITING
            message = "submitted; waits for what it needs" if waits else "submitted"
            data = {"owner": each.job.owner, "kind": each.job.kind}
            db.events.add(connection, each.job.id, "submitted", message, now=now, data=data)
    for each in admitted:
        for upstream_id, when in each.needs if each.is_new else ():
            db.needs.add(connection, each.job.id, upstream_id, when)


def digest(documents: Sequence[dict[str, Any]]) -> str:
    return hashlib.sha256(json.dumps(list(documents), sort_keys=True).encode()).hexdigest()


def earlier(connection: Connection, project: str, key: str, body_digest: str) -> list[str] | None:
    """The ids that this key was answered with before. Raises Conflict when it came with another body."""
    found = db.answers.get(connection, project, key)
    if found is None:
        return None
    if found[0] != body_digest:
        raise Conflict(f"key {key!r} was used for another submission; a new submission needs a new key")
    return list(found[1]["jobs"])
