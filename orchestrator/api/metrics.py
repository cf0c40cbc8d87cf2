"""What Prometheus scrapes, for the scrape token and for users."""

from typing import Annotated

from fastapi import APIRouter, Depends, Response
from prometheus_client import CONTENT_TYPE_LATEST

from orchestrator.api.jobs import Server
from orchestrator.observability import exporter
from orchestrator.records import Token
from orchestrator.server import auth

router = APIRouter(tags=["metrics"])


@router.get("/metrics", response_class=Response)
def scrape(token: Annotated[Token, Depends(auth.known)], server: Server) -> Response:
    page = exporter.page(server.database, server.process_metrics, server.supervisor, server.settings.policy)
    return Response(page, media_type=CONTENT_TYPE_LATEST)
