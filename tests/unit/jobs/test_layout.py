"""Keys say what they are, sort by time, and can be read back."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from jobs.storage.layout import Layout, new_job_id, parse_commit_key

JOB = Layout(project="default", job_name="shirts", job_id="20260101t000000z-abc123")


def test_the_bucket_is_laid_out_as_the_design_says() -> None:
    assert JOB.prefix == "default/shirts/20260101t000000z-abc123/"
    assert JOB.checkpoint(1200, 2) == f"{JOB.prefix}checkpoints/000000001200-a2/"
    assert JOB.grid(64) == f"{JOB.prefix}grids/000000000064.png"
    assert JOB.receipt(7) == f"{JOB.prefix}receipts/00007.json"
    assert JOB.manifest == f"{JOB.prefix}MANIFEST.json"


def test_ids_sort_by_time() -> None:
    early, late = (new_job_id(datetime(2026, 1, day, tzinfo=UTC)) for day in (1, 2))
    assert early < late
    assert new_job_id(datetime(2026, 1, 1, tzinfo=UTC)) != new_job_id(datetime(2026, 1, 1, tzinfo=UTC))


@given(st.integers(0, 10**12 - 1), st.integers(1, 999))
def test_a_commit_key_says_which_checkpoint_it_commits(examples: int, attempt: int) -> None:
    key = parse_commit_key(f"{JOB.checkpoint(examples, attempt)}COMMIT.json")
    assert key
    assert (key.examples, key.attempt, key.prefix) == (examples, attempt, JOB.checkpoint(examples, attempt))


def test_other_keys_commit_nothing() -> None:
    assert parse_commit_key(f"{JOB.checkpoint(1, 1)}state.json") is None
    assert parse_commit_key(f"{JOB.prefix}COMMIT.json") is None
