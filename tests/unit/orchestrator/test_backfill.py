"""Backfill fills what the first in line leaves, and never stands in its way."""

from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.scheduler import Held, Node, Plan, Policy, Queued, Snapshot, Start, decide, unheld

POLICY = Policy(preemption=False)
NODES = [Node(id=name, cpus=8) for name in "abc"]


def job(id: str, workers: int, cpus: float = 1.0, longest: float | None = None, priority: int = 50) -> Queued:
    return Queued(
        job_id=id, name=id, priority=priority, submitted=float(ord(id[-1])), sizes=(workers,), cpus_per_worker=cpus,
        gpus_per_worker=0.0, longest=longest,
    )  # fmt: skip


def gang(job: Queued, start: Start, now: float) -> Held:
    ends = None if job.longest is None else now + job.longest
    return Held(placement=start.placement, cpus_per_worker=start.cpus_per_worker, gpus_per_worker=0.0,
                job_id=job.job_id, name=job.name, ends=ends, is_stopping=False)  # fmt: skip


def plan(queued: list[Queued], held: list[Held], now: float) -> Plan:
    return decide(Snapshot(queued=queued, held=held, nodes=NODES, policy=POLICY, now=now))


small = st.tuples(st.integers(1, 4), st.sampled_from([1.0, 2.0]), st.sampled_from([50.0, 100.0, 300.0]))
later = st.tuples(st.integers(1, 4), st.sampled_from([1.0, 2.0]), st.sampled_from([None, 10.0, 60.0, 1000.0]))


@settings(deadline=None, max_examples=300)
@given(st.lists(small, min_size=2, max_size=8), st.integers(2, 6), st.lists(later, min_size=1, max_size=8))
def test_the_reservation_holds(running: list, workers: int, behind: list) -> None:
    first = {f"r{n}": job(f"r{n}", *asked) for n, asked in enumerate(running)}
    held = [gang(first[start.job_id], start, 0.0) for start in plan(list(first.values()), [], 0.0).starts]
    head = job("head", workers, cpus=4.0, priority=90)
    queued = {f"q{n}": job(f"q{n}", *asked) for n, asked in enumerate(behind)}
    made = plan([head, *queued.values()], held, 20.0)
    reservation = made.reservation
    if reservation is None or reservation.job is not head:
        return
    started = [gang(queued[start.job_id], start, 20.0) for start in made.starts]
    left = [each for each in held + started if each.ends is None or each.ends > reservation.at]
    free = {node.id: node.cpus for node in unheld(NODES, left)}
    assert sum(reservation.placement.values()) == workers
    for node, count in reservation.placement.items():
        assert free[node] - 4.0 * count >= -1e-6, "somebody stands in the places of the head"


def busy(longest: float | None) -> list[Held]:
    asked = job("r0", 3, 8.0 - 2.0, longest)
    (start,) = plan([asked], [], 0.0).starts
    return [gang(asked, start, 0.0)]


def starts(queued: list[Queued], held: list[Held]) -> list[str]:
    return [start.job_id for start in plan(queued, held, 0.0).starts]


def test_who_is_gone_in_time_may_use_the_reserved_places() -> None:
    """Every node is reserved for the head, and has two CPUs free until then."""
    head = job("head", 3, cpus=8.0, priority=90)
    assert starts([head, job("q1", 1, 2.0, longest=99)], busy(100.0)) == ["q1"]
    assert starts([head, job("q1", 1, 2.0, longest=101)], busy(100.0)) == []
    assert starts([head, job("q1", 1, 2.0)], busy(100.0)) == []
    assert starts([head, job("q1", 1, 2.0, longest=1)], busy(None)) == [], "nobody knows when"


def test_what_the_head_leaves_is_for_all() -> None:
    head = job("head", 1, cpus=8.0, priority=90)
    assert starts([head, job("q1", 2, 2.0)], busy(None)) == ["q1"]
    assert starts([head, job("q1", 3, 2.0)], busy(None)) == [], "the third would be in its place"
