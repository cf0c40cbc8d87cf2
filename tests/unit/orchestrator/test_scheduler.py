"""The plan, as examples and as properties over any snapshot."""

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.scheduler import Held, Node, Queued, Snapshot, Start, Wait, plan, unheld

resources = st.sampled_from([0.5, 1.0, 2.0, 4.0])
nodes = st.lists(
    st.builds(
        Node,
        id=st.uuids().map(str),
        cpus=st.integers(0, 16).map(float),
        gpus=st.integers(0, 4).map(float),
    ),
    max_size=5,
    unique_by=lambda node: node.id,
)
queued = st.lists(
    st.builds(
        Queued,
        job_id=st.uuids().map(str),
        name=st.text("abc", min_size=1, max_size=3),
        priority=st.integers(0, 100),
        submitted=st.integers(0, 10).map(float),
        sizes=st.integers(1, 8).map(lambda most: tuple(range(most, 0, -1))) | st.integers(1, 8).map(lambda n: (n,)),
        cpus_per_worker=resources,
        gpus_per_worker=st.sampled_from(["auto", 0.0, 0.5, 1.0, 2.0]),
    ),
    max_size=8,
    unique_by=lambda job: job.job_id,
)


@st.composite
def snapshots(draw: st.DrawFn) -> Snapshot:
    cluster = draw(nodes)
    held = []
    for _ in range(draw(st.integers(0, 3)) if cluster else 0):
        placement = {draw(st.sampled_from(cluster)).id: draw(st.integers(1, 2))}
        held.append(Held(placement=placement, cpus_per_worker=draw(resources), gpus_per_worker=0.0))
    return Snapshot(queued=draw(queued), held=held, nodes=cluster)


def starts(snapshot: Snapshot) -> list[Start]:
    return [decision for decision in plan(snapshot) if isinstance(decision, Start)]


@given(snapshots())
def test_every_job_gets_one_decision(snapshot: Snapshot) -> None:
    assert sorted(d.job_id for d in plan(snapshot)) == sorted(job.job_id for job in snapshot.queued)


@given(snapshots())
def test_no_node_is_given_more_than_it_has(snapshot: Snapshot) -> None:
    before = {node.id: node for node in unheld(snapshot.nodes, snapshot.held)}
    given_ = [
        Held(placement=s.placement, cpus_per_worker=s.cpus_per_worker, gpus_per_worker=s.gpus_per_worker)
        for s in starts(snapshot)
    ]
    for node in unheld(list(before.values()), given_):
        if any(node.id in gang.placement for gang in given_):
            assert node.cpus >= -1e-6
            assert node.gpus >= -1e-6


@given(snapshots())
def test_gangs_are_whole_and_of_a_size_that_will_do(snapshot: Snapshot) -> None:
    jobs = {job.job_id: job for job in snapshot.queued}
    for start in starts(snapshot):
        assert sum(start.placement.values()) == start.workers
        assert start.workers in jobs[start.job_id].sizes


@given(snapshots())
def test_the_head_starts_if_it_fits_an_empty_cluster(snapshot: Snapshot) -> None:
    empty = Snapshot(queued=snapshot.queued[:1], nodes=[Node(id="large", cpus=1000, gpus=1000)])
    assert len(starts(empty)) == len(empty.queued)


@given(snapshots())
def test_the_same_snapshot_has_the_same_plan(snapshot: Snapshot) -> None:
    shuffled = Snapshot(queued=list(reversed(snapshot.queued)), held=snapshot.held, nodes=snapshot.nodes)
    assert plan(shuffled) == plan(snapshot)


def job(name: str = "a", workers: int = 1, cpus: float = 1.0, gpus: float | str = 0.0, **more: object) -> Queued:
    return Queued(
        job_id=name,
        name=name,
        sizes=(workers,),
        cpus_per_worker=cpus,
        gpus_per_worker=gpus,  # type: ignore[arg-type]
        **{"priority": 50, "submitted": 0.0, **more},  # type: ignore[arg-type]
    )


def reason(jobs: list[Queued], nodes: list[Node], held: list[Held] | None = None) -> str:
    decision = plan(Snapshot(queued=jobs, nodes=nodes, held=held or []))[-1]
    assert isinstance(decision, Wait)
    return decision.reason


def test_reasons_name_what_is_missing() -> None:
    two = [Node(id="n", cpus=2)]
    busy = [Held(placement={"n": 1}, cpus_per_worker=1, gpus_per_worker=0)]
    assert reason([job(workers=2)], two, busy) == "waiting for 2 CPUs; 1 free"
    assert reason([job(workers=4)], two) == "needs 4 CPUs; the cluster has 2 in all"
    assert reason([job(gpus=1.0)], two) == "needs 1 GPU; the cluster has 0 in all"
    nodes = [Node(id="n", cpus=3), Node(id="m", cpus=3)]
    assert reason(
        [job(workers=2, cpus=3)], nodes, [Held(placement={"n": 1}, cpus_per_worker=1, gpus_per_worker=0)]
    ) == ("waiting for 6 CPUs; 5 free")
    assert reason([job(workers=3, cpus=2)], nodes) == (
        "needs 3 workers of 2 CPUs each; the cluster's nodes have room for 2"
    )


def test_what_waits_behind_the_head_says_so() -> None:
    jobs = [job("a", workers=2, priority=60), job("b")]
    nodes = [Node(id="n", cpus=2)]
    held = [Held(placement={"n": 1}, cpus_per_worker=1, gpus_per_worker=0)]
    assert reason(jobs, nodes, held).endswith("behind job a")


def test_priority_goes_first() -> None:
    snapshot = Snapshot(queued=[job("late", priority=90, submitted=9.0), job("early")], nodes=[Node(id="n", cpus=1)])
    assert [start.job_id for start in starts(snapshot)] == ["late"]


def test_gpus_are_left_to_those_that_need_them() -> None:
    nodes = [Node(id="gpu", cpus=8, gpus=4), Node(id="plain", cpus=8)]
    (start,) = starts(Snapshot(queued=[job(workers=2)], nodes=nodes))
    assert start.placement == {"plain": 2}


def test_auto_takes_gpus_only_for_the_whole_gang() -> None:
    nodes = [Node(id="gpu", cpus=8, gpus=2)]
    (start,) = starts(Snapshot(queued=[job(workers=2, gpus="auto")], nodes=nodes))
    assert start.gpus_per_worker == 1
    (start,) = starts(Snapshot(queued=[job(workers=3, gpus="auto")], nodes=nodes))
    assert start.gpus_per_worker == 0


def test_fractions_of_a_cpu_add_up() -> None:
    """Ten tenths are one CPU, whatever floats say."""
    (start,) = starts(Snapshot(queued=[job(workers=10, cpus=0.1)], nodes=[Node(id="n", cpus=1)]))
    assert start.placement == {"n": 10}
