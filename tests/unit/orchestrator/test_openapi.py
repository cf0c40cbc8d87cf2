"""No request gives a 5xx that the API's own description allows, or forbids: schemathesis over every route.

GANWORKS_CASES: how many requests in all, about. `make soak` has 20,000; without it there are none, as they take their time.
"""

import os
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode
from server_bench import TOKEN, Bench, DriverDouble, train

from jobs import wire
from orchestrator.serve import ROUTERS

pytestmark = pytest.mark.timeout(1800)
CASES = int(os.environ.get("GANWORKS_CASES", "0"))
PATHS = sorted({(route.path, verb) for noun in ROUTERS for route in noun.router.routes for verb in route.methods})  # type: ignore[attr-defined]
EACH = max(CASES // len(PATHS) // 2, 2)
BODY = {"data": "content"}  # as the client calls what is sent as it is
MODES = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)


def there_is(bench: Bench) -> tuple[dict[str, str], DriverDouble]:
    """A job that runs, one that waits and a schedule: what routes are asked of."""
    running, _ = bench.submit(train(), train("other"))
    bench.submit(train("nightly", schedule={"cron": "0 2 * * *", "concurrency": "allow"}))
    bench.step()
    words = {"job": running, "name": "nightly", "attempt_id": f"{running}-1", "file": "000000000000.png"}
    return words, bench.driver(f"{running}-1")


def asked(case: Case, words: dict[str, str], driver: DriverDouble) -> dict[str, str]:
    """Let most requests be about something that there is, and always of somebody who may ask; returns their headers."""
    if hash(case.id) % 4:
        case.path_parameters = {name: words.get(name, value) for name, value in (case.path_parameters or {}).items()}
    if "/attempts/" in case.path:
        return {"Authorization": f"Bearer {driver.token}", wire.HEADER: str(wire.VERSION)}
    return {"Authorization": f"Bearer {TOKEN}"}


@pytest.mark.parametrize(("path", "verb"), PATHS)
@pytest.mark.parametrize("mode", MODES)
def test_no_request_gives_a_5xx(bench: Bench, path: str, verb: str, mode: GenerationMode) -> None:
    described = bench.http.app.openapi()  # type: ignore[attr-defined]
    described["paths"] = {path: described["paths"][path]}
    schema = schemathesis.openapi.from_dict(described)
    words, driver = there_is(bench)
    told: list[Any] = []

    @settings(
        max_examples=EACH,
        deadline=None,
        database=None,
        derandomize=True,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(case=schema[path][verb].as_strategy(generation_mode=mode))
    def play(case: Case) -> None:
        sent = case.as_transport_kwargs(headers=asked(case, words, driver))
        sent = {BODY.get(name, name): value for name, value in sent.items() if name != "cookies"}
        answer = bench.http.request(**sent)
        told.append(answer.status_code)
        if path != "/readyz":  # which says 503 when it means it
            assert answer.status_code < 500, (sent, answer.text)

    try:
        play()
    except Unsatisfiable:
        assert mode is GenerationMode.NEGATIVE, (
            "everything may be asked in some way"
        )  # where nothing can be asked wrongly
    assert told or mode is GenerationMode.NEGATIVE
    bench.step()
