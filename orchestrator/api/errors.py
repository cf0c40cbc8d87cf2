"""Errors as JSON: {"error": {"message", …}}; never a traceback."""

import json

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from sqlalchemy.exc import DataError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException

from jobs import wire
from jobs.specs.errors import SpecError
from jobs.store import StoreError
from jobs.wire import Mismatch
from orchestrator.admission.admit import Conflict
from orchestrator.cluster import Refused, Unreachable
from orchestrator.db import CannotWrite
from orchestrator.server.far import TooSlow

log = structlog.get_logger(__name__)
LATER = {"Retry-After": "5"}  # seconds


def install(app: FastAPI) -> None:
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _bad_request)
    app.add_exception_handler(SpecError, _problems)
    app.add_exception_handler(Conflict, _conflict)
    app.add_exception_handler(Mismatch, _not_understood)
    app.add_exception_handler(StoreError, _store)
    app.add_exception_handler(Unreachable, _ray)
    app.add_exception_handler(Refused, _ray)
    app.add_exception_handler(TooSlow, _ray)
    app.add_exception_handler(CannotWrite, _database)
    app.add_exception_handler(OperationalError, _database)
    app.add_exception_handler(PoolTimeout, _database)
    app.add_exception_handler(UnicodeEncodeError, _no_text)
    app.add_exception_handler(DataError, _no_text)
    app.add_exception_handler(Exception, _ours)


def answer(status: int, message: str, headers: dict[str, str] | None = None, **more: object) -> Response:
    # In ASCII: what is quoted of a request may be half a character.
    content = json.dumps({"error": {"message": message, **more}})
    return Response(content, status_code=status, headers=headers, media_type="application/json")


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return answer(error.status_code, str(error.detail), headers=dict(error.headers or {}))


async def _bad_request(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    if wire.HEADER in request.headers:
        return answer(422, wire.mismatch("server", "driver", wire.VERSION, wire.problems_of(error.errors())))
    problems = [
        {"document": 0, "path": ".".join(map(str, each["loc"])), "message": each["msg"]} for each in error.errors()
    ]
    return answer(422, "the request is not as expected", problems=problems)


async def _not_understood(request: Request, error: Exception) -> Response:
    """Refuse a driver's message that is not understood: its version is ours, or it would not have come so far."""
    return answer(422, wire.mismatch("server", "driver", wire.VERSION, [str(error)]))


async def _problems(request: Request, error: Exception) -> Response:
    assert isinstance(error, SpecError)
    problems = [{"document": p.document, "path": p.path, "message": p.message} for p in error.problems]
    return answer(
        422, f"{len(problems)} problem{'s' if len(problems) != 1 else ''} in the submission", problems=problems
    )


async def _conflict(request: Request, error: Exception) -> Response:
    return answer(409, str(error))


async def _store(request: Request, error: Exception) -> Response:
    return answer(503, f"the store fails: {_one_line(error)}", headers=LATER)


async def _ray(request: Request, error: Exception) -> Response:
    return answer(503, _one_line(error), headers=LATER)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


async def _database(request: Request, error: Exception) -> Response:
    log.warning("the database cannot be used", path=request.url.path, error=str(error).partition("\n")[0])
    return answer(503, "the database cannot be used now; try again", headers=LATER)


async def _no_text(request: Request, error: Exception) -> Response:
    """Refuse a lone surrogate or a NUL: JSON has it, no database does."""
    return answer(422, "the request holds text that cannot be stored")


async def _ours(request: Request, error: Exception) -> Response:
    log.error("request failed", path=request.url.path, exc_info=error)
    return answer(500, "the server made a mistake; its log has more")
