"""What this installation knows: GAN families, the schema of a spec, its own version."""

import json
from functools import cache

from fastapi import APIRouter, Response

from jobs.specs import check
from jobs.specs.schema import json_schema
from orchestrator import __version__
from orchestrator.api.answers import JsonObject
from orchestrator.api.jobs import User

router = APIRouter(prefix="/api/v1", tags=["catalogue"])


@router.get("/families")
def families(user: User) -> dict[str, dict[str, JsonObject]]:
    return {"families": check.families()}


@router.get("/schema", response_model=JsonObject)
def schema(user: User) -> Response:
    """Return the JSON Schema (draft 7) of one document, for editors."""
    return Response(_schema(), media_type="application/json")


@cache
def _schema() -> bytes:
    """Return it as bytes: it is large, and the same for as long as this server runs."""
    return json.dumps(json_schema()).encode()


@router.get("/version")
def version(user: User) -> dict[str, str]:
    return {"version": __version__}
