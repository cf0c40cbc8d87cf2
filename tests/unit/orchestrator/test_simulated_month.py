"""The real plan over days of a synthetic cluster: busier and fairer than plain FIFO, and everybody gets through."""

from dataclasses import replace

from orchestrator.scheduler import decide
from tests.bench.simulate import fifo, load, percentile, simulate


def test_ten_thousand_jobs_beside_fifo() -> None:
    made = load(jobs=10_000, gpus=800, days=6, seed=1)
    ours = simulate("ganworks", made, every=1200, days=6)
    theirs = simulate("fifo", made, every=1200, days=6, decides=fifo)
    assert len(ours.ends) == len(theirs.ends) == 10_000
    assert ours.busy >= theirs.busy, "backfill uses what FIFO leaves idle"
    assert made.lower_bound <= max(ours.ends.values()) < 1.2 * made.lower_bound
    jobs = {job.job_id: job for job in made.jobs}

    def waits(outcome: object, wanted: object) -> list[float]:
        return sorted(wait for id, wait in outcome.waits.items() if wanted(jobs[id]))  # type: ignore[attr-defined, operator]

    important, small = (lambda job: job.priority == 80), (lambda job: job.owner != "hog" and job.priority == 50)
    assert percentile(waits(ours, important), 90) <= percentile(waits(theirs, important), 90)
    assert percentile(waits(ours, small), 90) <= percentile(waits(theirs, small), 90)


def test_preemption_off_still_gets_everybody_through() -> None:
    made = load(jobs=500, gpus=80, days=1, seed=2)
    made = replace(made, policy=replace(made.policy, preemption=False))
    outcome = simulate("ganworks", made, every=600, days=1, decides=decide)
    assert (len(outcome.ends), outcome.preemptions) == (500, 0)
