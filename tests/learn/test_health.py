"""Healthy trainings raise no alarm, planted faults are named within the run. Run by hand: make learn (half an hour)."""

import pytest

from tests.learn.health import CASES, Case, observe, row


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_health_names_what_is_wrong_and_nothing_else(case: Case) -> None:
    seen = [observe(case, seed) for seed in case.seeds]
    print(row(case, seen), flush=True)
    if case.finding is None:
        assert not any(each.found for each in seen)
    else:
        assert all(case.finding in each.found for each in seen)
