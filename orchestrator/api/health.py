"""Is it alive, is it ready? Without a token, and telling nothing else."""

from fastapi import APIRouter, Depends, Response
from sqlalchemy.exc import SQLAlchemyError

from orchestrator import db
from orchestrator.server import auth
from orchestrator.server.state import ServerState

router = APIRouter(tags=["health"])
PATIENCE = 2.0  # seconds for which another process may hold the database
LATE = 60.0  # seconds without a step of the supervisor


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    return {"status": "ok"}


@router.get("/readyz")
def readyz(response: Response, server: ServerState = Depends(auth.server)) -> dict[str, bool]:
    last = server.supervisor.last_step
    checks = {
        "database": _takes_writes(server),
        "supervisor": last is not None and server.clock() - last < LATE,
    }
    if not all(checks.values()):
        response.status_code = 503
    # Ray away is no reason to turn submissions down: they wait.
    return {**checks, "ray": server.supervisor.nodes is not None}


def _takes_writes(server: ServerState) -> bool:
    """Write for real: a database that is read-only, locked or full answers reads all the same."""
    try:
        with server.database.write(patience=PATIENCE) as connection:
            db.marks.put(connection, db.marks.READY, server.clock())
    except (SQLAlchemyError, db.CannotWrite):
        return False
    return True
