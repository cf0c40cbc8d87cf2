"""Pictures of some samples, as the job drew them on its way."""

import re

from fastapi import APIRouter, HTTPException, Response

from jobs.store import NotFound
from orchestrator.api.answers import GridAnswer, GridsAnswer
from orchestrator.api.jobs import Server, User, find

router = APIRouter(prefix="/api/v1/jobs/{job}/grids", tags=["grids"])
_FILE = re.compile(r"\d{12}\.png")


@router.get("")
def grids(job: str, user: User, server: Server) -> GridsAnswer:
    with server.database.read() as connection:
        found = find(connection, user, job)
    prefix = found.layout.grids_prefix
    files = [(info.key.removeprefix(prefix), info) for info in server.store.list(prefix)]
    shown: list[GridAnswer] = [
        {
            "file": file,
            "examples": int(file.removesuffix(".png")),
            "size": info.size,
            "modified": info.modified,
            "location": server.store.locate(info.key),
        }
        for file, info in files
        if _FILE.fullmatch(file)
    ]
    return {"job_id": found.id, "grids": shown}


@router.get("/{file}", response_class=Response)
def grid(job: str, file: str, user: User, server: Server) -> Response:
    with server.database.read() as connection:
        found = find(connection, user, job)
    if not _FILE.fullmatch(file):
        raise HTTPException(404, f"{file!r} is not the name of a grid: 12 digits and .png")
    try:
        picture = server.store.get(found.layout.grids_prefix + file)
    except NotFound:
        raise HTTPException(404, f"job {found.name} has no grid {file}") from None
    return Response(picture, media_type="image/png")
