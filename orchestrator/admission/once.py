"""A POST that comes again because its answer was lost is done once: its key says that it is the same."""

from collections.abc import Callable

from sqlalchemy import Connection

from orchestrator import db
from orchestrator.admission import submission

KEPT = 30 * 86400.0  # seconds for which a key is known


def once(
    connection: Connection, project: str, key: str | None, post: str, now: float, act: Callable[[], list[str]]
) -> list[str]:
    """Do what a POST asks, unless its key came before; returns the ids that it acted on, then and now.

    `post` is what was asked, in the words it was asked in: a name may mean another job by now. Without a key it is done each
    time. Raises Conflict when the key came with something else.
    """
    body = submission.digest([{"post": post}])
    before = submission.earlier(connection, project, key, body) if key else None
    if before is not None:
        return before[0]
    done = act()
    if key:
        db.answers.keep(connection, project, key, body, {"jobs": done}, now)
        db.answers.forget(connection, now - KEPT)
    return done
