"""Is it alive, is it ready? Without a token, and telling nothing else."""

from fastapi import APIRouter, Depends, Response
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from orchestrator.server import auth
from orchestrator.server.state import ServerState

router = APIRouter(tags=["health"])
LATE = 60.0  # seconds without a step of the supervisor


@router.get("/healthz")
def healthz() -> dict[str, str]:
    return {"status": "ok"}


@router.get("/readyz")
def readyz(response: Response, server: ServerState = Depends(auth.server)) -> dict[str, bool]:
    last = server.supervisor.last_step
    checks = {
        "database": _database_answers(server),
        "supervisor": last is not None and server.clock() - last < LATE,
    }
    if not all(checks.values()):
        response.status_code = 503
    # Ray away is no reason to turn submissions down: they wait.
    return {**checks, "ray": server.supervisor.nodes is not None}


def _database_answers(server: ServerState) -> bool:
    try:
        with server.database.read() as connection:
            connection.execute(text("SELECT 1"))
    except SQLAlchemyError:
        return False
    return True
