"""What Prometheus scrapes, for the scrape token and for users."""

from typing import Annotated

from fastapi import APIRouter, Depends, Response
from prometheus_client import CONTENT_TYPE_LATEST

from orchestrator import auth, metrics
from orchestrator.api.jobs import TheWorks
from orchestrator.records import Token

router = APIRouter(tags=["metrics"])


@router.get("/metrics", response_class=Response)
def scrape(token: Annotated[Token, Depends(auth.known)], works: TheWorks) -> Response:
    return Response(metrics.page(works), media_type=CONTENT_TYPE_LATEST)
