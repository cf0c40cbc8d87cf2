"""The real plan over days of a synthetic cluster: busier and fairer than plain FIFO, and everybody gets through."""

import statistics
from collections.abc import Callable
from dataclasses import replace

from orchestrator.scheduler import Queued, decide
from tests.bench.simulate import Load, Outcome, fifo, load, percentile, simulate


def test_ten_thousand_jobs_beside_fifo() -> None:
    made = load(jobs=10_000, gpus=800, days=6, seed=1)
    ours = simulate("ganworks", made, every=1200, days=6)
    theirs = simulate("fifo", made, every=1200, days=6, decides=fifo)
    assert len(ours.ends) == len(theirs.ends) == 10_000
    assert made.lower_bound <= max(ours.ends.values()) < 1.02 * made.lower_bound, "nothing is left idle for long"
    assert ours.busy > 0.98 * theirs.busy
    assert (len(ours.stopped), ours.wasted / made.work) < (1_000, 0.005), "preemption is rare, and cheap"
    mine, plain = waits(made, ours), waits(made, theirs)
    assert statistics.fmean(mine(lambda job: True)) < 0.7 * statistics.fmean(plain(lambda job: True))
    for wanted, part in (
        (lambda job: job.priority == 80, 0.1),
        (lambda job: job.priority == 50, 0.3),
        (lambda job: job.owner != "hog", 1.0),
        (lambda job: True, 1.0),
    ):
        assert percentile(mine(wanted), 50) < 0.2 * percentile(plain(wanted), 50)
        assert percentile(mine(wanted), 90) < part * percentile(plain(wanted), 90)


def waits(made: Load, outcome: Outcome) -> Callable[[Callable[[Queued], bool]], list[float]]:
    jobs = {job.job_id: job for job in made.jobs}
    return lambda wanted: sorted(wait for id, wait in outcome.waited(made).items() if wanted(jobs[id]))


def test_preemption_off_still_gets_everybody_through() -> None:
    made = load(jobs=500, gpus=80, days=1, seed=2)
    made = replace(made, policy=replace(made.policy, preemption=False))
    outcome = simulate("ganworks", made, every=600, days=1, decides=decide)
    assert (len(outcome.ends), len(outcome.stopped)) == (500, 0)
