"""Pictures of some samples, as the job drew them on its way."""

import re
from functools import partial

from fastapi import APIRouter, HTTPException, Response

from jobs.storage.layout import parse_drawn_grid
from jobs.store import NotFound, ObjectInfo
from orchestrator.api.answers import GridAnswer, GridsAnswer
from orchestrator.api.jobs import Server, User, find
from orchestrator.records import Job
from orchestrator.server.state import ServerState

router = APIRouter(prefix="/api/v1/jobs/{job}/grids", tags=["grids"])
_FILE = re.compile(r"\d{12}\.png")


@router.get("")
def grids(job: str, user: User, server: Server) -> GridsAnswer:
    with server.database.read() as connection:
        found = find(connection, user, job)
    shown: list[GridAnswer] = [
        {
            "file": file,
            "examples": int(file.removesuffix(".png")),
            "size": info.size,
            "modified": info.modified,
            "location": server.store.locate(info.key),
        }
        for file, info in sorted(server.far(partial(_known, server, found)).items())
    ]
    return {"job_id": found.id, "grids": shown}


@router.get("/{file}", response_class=Response)
def grid(job: str, file: str, user: User, server: Server) -> Response:
    with server.database.read() as connection:
        found = find(connection, user, job)
    if not _FILE.fullmatch(file):
        raise HTTPException(404, f"{file!r} is not the name of a grid: 12 digits and .png")
    try:
        picture = server.far(partial(_picture, server, found, file))
    except NotFound:
        raise HTTPException(404, f"job {found.name} has no grid {file}") from None
    return Response(picture, media_type="image/png")


def _picture(server: ServerState, job: Job, file: str) -> bytes:
    info = _known(server, job).get(file)
    return server.reader_store.get(info.key if info else job.layout.grids_prefix + file)


def _known(server: ServerState, job: Job) -> dict[str, ObjectInfo]:
    """Return the grids by file name: those of a running job where its attempts drew them, then the published ones."""
    layout, infos = job.layout, list(server.reader_store.list(job.layout.attempts_prefix))
    drawn = sorted((grid, info) for info in infos if (grid := parse_drawn_grid(layout, info.key)))
    known = {layout.grid(grid.examples).removeprefix(layout.grids_prefix): info for grid, info in drawn}
    published = (
        (info.key.removeprefix(layout.grids_prefix), info) for info in server.reader_store.list(layout.grids_prefix)
    )
    return known | {file: info for file, info in published if _FILE.fullmatch(file)}
