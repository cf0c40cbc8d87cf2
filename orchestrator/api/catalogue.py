"""What this installation knows: GAN families, the schema of a spec, its own version."""

from fastapi import APIRouter

from jobs.specs import check
from jobs.specs import spec as job_spec
from orchestrator import __version__
from orchestrator.api.answers import JsonObject
from orchestrator.api.jobs import User

router = APIRouter(prefix="/api/v1", tags=["catalogue"])


@router.get("/families")
def families(user: User) -> dict[str, dict[str, JsonObject]]:
    return {"families": check.families()}


@router.get("/schema")
def schema(user: User) -> JsonObject:
    """Return the JSON Schema (draft 7) of one document, for editors."""
    return job_spec.json_schema()


@router.get("/version")
def version(user: User) -> dict[str, str]:
    return {"version": __version__}
