from prometheus_client import generate_latest

from orchestrator.works import Works


def page(works: Works) -> bytes:
    return generate_latest(works.telemetry.registry)
