"""The table of states, and that the database holds to it."""

import itertools

import pytest
from server_bench import Bench, train

from orchestrator import db
from orchestrator.states import ACTIVE, ENDED, TRANSITIONS, Status


def test_nothing_leaves_an_end_but_a_users_retry() -> None:
    for name, step in TRANSITIONS.items():
        assert not step.sources & ENDED or name == "retried", name
    assert Status.SUCCEEDED not in TRANSITIONS["retried"].sources


def test_every_state_can_be_reached_and_left() -> None:
    reached = {step.target for step in TRANSITIONS.values()}
    left = {source for step in TRANSITIONS.values() for source in step.sources}
    assert reached == set(Status)
    assert left == set(Status) - {Status.SUCCEEDED}


def test_every_unfinished_job_can_fail_and_be_cancelled() -> None:
    unfinished = set(Status) - ENDED
    assert TRANSITIONS["failed"].sources == unfinished
    assert TRANSITIONS["cancelled"].sources == unfinished


def test_only_an_active_job_succeeds() -> None:
    assert TRANSITIONS["succeeded"].sources == ACTIVE


def test_the_guarded_update_follows_the_table(bench: Bench) -> None:
    (job,) = bench.submit(train())
    with bench.server.database.write() as connection:
        for status, (transition, step) in itertools.product(Status, TRANSITIONS.items()):
            db.jobs.change(connection, job, status=status)
            moved = db.jobs.move(connection, job, transition)
            assert moved == (status in step.sources)
            found = db.jobs.by_id(connection, job)
            assert found is not None
            assert found.status == (step.target if moved else status)


def test_one_unfinished_job_of_a_name_says_the_database(bench: Bench) -> None:
    from dataclasses import replace

    from sqlalchemy.exc import IntegrityError

    (job,) = bench.submit(train())
    twin = replace(bench.job(job), id="another")
    with pytest.raises(IntegrityError), bench.server.database.write() as connection:
        db.jobs.add(connection, twin)
    bench.post(f"/api/v1/jobs/{job}/cancel")
    with bench.server.database.write() as connection:
        db.jobs.add(connection, twin)
