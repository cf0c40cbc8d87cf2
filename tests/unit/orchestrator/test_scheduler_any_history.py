"""Whatever comes, in whatever order: what a plan must never do, and that everybody's turn comes."""

from collections.abc import Iterable
from dataclasses import replace
from math import inf

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from orchestrator.scheduler import (
    Amount,
    Held,
    Ledger,
    Node,
    Plan,
    Policy,
    Queued,
    QueuePolicy,
    Snapshot,
    Start,
    decide,
    shortage,
    total,
    unheld,
)
from orchestrator.scheduler.rooms import Rooms

QUEUES = {
    "default": QueuePolicy(),
    "research": QueuePolicy(gpus=4, cpus=16, borrow_gpus=4, borrow_cpus=16),
    "batch": QueuePolicy(gpus=0, cpus=0, user_gpus=4, user_jobs=2, weight=0.5),
}
NODES = [
    Node(id="a", cpus=8, gpus=4, accelerator="H100"),
    Node(id="b", cpus=8, gpus=4, accelerator="A100", labels={"zone": "west"}),
    Node(id="c", cpus=8, gpus=2, accelerator="A100"),
    Node(id="d", cpus=16),
]


@st.composite
def jobs(draw: st.DrawFn) -> Queued:
    most = draw(st.integers(1, 6))
    least = draw(st.sampled_from([most, 1]))
    return Queued(
        job_id=draw(st.uuids()).hex[:8],
        name=draw(st.sampled_from("pqrst")),
        priority=draw(st.sampled_from([10, 50, 90])),
        submitted=0.0,
        sizes=tuple(range(most, least - 1, -1)),
        cpus_per_worker=draw(st.sampled_from([0.5, 1.0, 4.0])),
        gpus_per_worker=draw(st.sampled_from(["auto", 0.0, 1.0, 2.0, 4.0])),
        accelerator=draw(st.sampled_from([None, None, "H100", "A100"])),
        node_labels=draw(st.sampled_from([(), (), (("zone", "west"),)])),
        avoided=draw(st.sampled_from([(), (), ("a",)])),
        queue=draw(st.sampled_from(sorted(QUEUES))),
        owner=draw(st.sampled_from(["ada", "grace"])),
        longest=draw(st.sampled_from([None, 50.0, 500.0])),
    )


class AnyHistory(RuleBasedStateMachine):
    @initialize(preemption=st.booleans())
    def begin(self, preemption: bool) -> None:
        self.policy = Policy(queues=QUEUES, preemption=preemption, protected=10.0, grow_after=30.0)
        self.now, self.idle_since = 1000.0, None
        self.queued: dict[str, Queued] = {}
        self.held: dict[str, Held] = {}
        self.asked: dict[str, Queued] = {}

    @rule(job=jobs())
    def submit(self, job: Queued) -> None:
        self.now += 1
        self.queued[job.job_id] = self.asked[job.job_id] = replace(job, submitted=self.now)

    @rule(pick=st.integers(0, 99))
    def one_ends(self, pick: int) -> None:
        if self.held:
            del self.held[sorted(self.held)[pick % len(self.held)]]

    @rule(pick=st.integers(0, 99))
    def one_is_lost_and_still_holds(self, pick: int) -> None:
        if self.held:
            id = sorted(self.held)[pick % len(self.held)]
            self.held[id] = replace(self.held[id], is_stopping=True)

    @rule(seconds=st.sampled_from([1.0, 20.0, 400.0]))
    def time_goes_by(self, seconds: float) -> None:
        self.now += seconds
        self.held = {id: gang for id, gang in self.held.items() if gang.ends is None or gang.ends > self.now}

    @rule()
    def stopped_ones_come_back(self) -> None:
        for id in [id for id, gang in self.held.items() if gang.is_stopping]:
            del self.held[id]
            if id in self.asked:
                self.queued[id] = self.asked[id]

    @rule(order=st.randoms(use_true_random=False))
    def step(self, order: object) -> None:
        snapshot = self.snapshot()
        plan = decide(snapshot)
        self.check(snapshot, plan)
        shuffled = [list(snapshot.queued), list(snapshot.held), list(snapshot.nodes)]
        for each in shuffled:
            order.shuffle(each)  # type: ignore[attr-defined]
        again = decide(replace(snapshot, queued=shuffled[0], held=shuffled[1], nodes=shuffled[2]))
        assert list(again.decisions()) == list(plan.decisions()), "the same snapshot, the same plan"
        self.apply(plan)

    def snapshot(self) -> Snapshot:
        return Snapshot(
            queued=list(self.queued.values()),
            held=list(self.held.values()),
            nodes=NODES,
            policy=self.policy,
            usage={("default", "ada"): Amount(2.0, 1.0)},
            now=self.now,
            idle_since=self.idle_since,
        )

    def apply(self, plan: Plan) -> None:
        self.idle_since = None if plan.somebody_waits_for_room else (self.idle_since or self.now)
        for start in plan.starts:
            self.held[start.job_id] = self.gang(self.queued.pop(start.job_id), start)
        for stop in plan.stops:
            self.held[stop.job_id] = replace(self.held[stop.job_id], is_stopping=True)

    def gang(self, job: Queued, start: Start) -> Held:
        return Held(
            placement=start.placement,
            cpus_per_worker=start.cpus_per_worker,
            gpus_per_worker=start.gpus_per_worker,
            job_id=job.job_id,
            name=job.name,
            queue=job.queue,
            owner=job.owner,
            priority=job.priority,
            started=self.now,
            ends=None if job.longest is None else self.now + job.longest,
            is_stopping=False,
            sizes=job.sizes if len(job.sizes) > 1 else (),
        )

    # --- what must hold of every plan

    def check(self, snapshot: Snapshot, plan: Plan) -> None:
        before = list(snapshot.held)
        started = [self.gang(self.queued[start.job_id], start) for start in plan.starts]
        self.everybody_gets_one_answer(plan)
        self.gangs_are_whole(plan)
        self.no_node_is_given_twice(before + started)
        self.no_quota_is_broken(before, started)
        self.priority_is_respected(plan)
        self.the_head_is_not_delayed(plan, before)
        self.stops_help(plan, before)

    def everybody_gets_one_answer(self, plan: Plan) -> None:
        waits = [job.job_id for each in plan.waiting for job in each.jobs]
        assert sorted([start.job_id for start in plan.starts] + waits) == sorted(self.queued)
        assert all(each.reason for each in plan.waiting)

    def gangs_are_whole(self, plan: Plan) -> None:
        kinds = {node.id: node for node in NODES}
        for start in plan.starts:
            job = self.queued[start.job_id]
            assert sum(start.placement.values()) == start.workers
            assert start.workers in job.sizes
            for id in start.placement:
                assert job.accelerator in (None, kinds[id].accelerator)
                assert set(job.node_labels) <= set(kinds[id].labels.items())

    def no_node_is_given_twice(self, gangs: list[Held]) -> None:
        """What stops, or is lost and not confirmed, is among them."""
        for node in unheld(NODES, gangs):
            assert min(node.amount) >= -1e-6, node

    def no_quota_is_broken(self, before: list[Held], started: list[Held]) -> None:
        ledger = Ledger(self.policy, before + started, {}, total(NODES))
        research = ledger.queues.get("research", Amount())
        assert research.gpus <= 8 + 1e-6
        assert research.cpus <= 32 + 1e-6
        for owner in ("ada", "grace"):
            assert ledger.jobs.get(("batch", owner), 0) <= 2
            assert ledger.users.get(("batch", owner), Amount()).gpus <= 4 + 1e-6

    def priority_is_respected(self, plan: Plan) -> None:
        """Nobody starts while one like him, of the same queue and owner, waits with a higher priority."""
        waiting = [job for each in plan.waiting for job in each.jobs]
        for start in plan.starts:
            job = self.queued[start.job_id]
            for other in waiting:
                alike = (other.queue, other.owner, other.longest, other.shape) == (
                    job.queue, job.owner, job.longest, job.shape,
                )  # fmt: skip
                assert not (alike and other.priority > job.priority)

    def the_head_is_not_delayed(self, plan: Plan, before: list[Held]) -> None:
        """At its moment its places are free, whoever started this time."""
        reservation = plan.reservation
        if reservation is None or not reservation.placement:
            return
        at, stops = reservation.at, {stop.job_id for stop in plan.stops}
        gangs = before + [self.gang(self.queued[start.job_id], start) for start in plan.starts]
        if at == inf:  # nobody knows when: at least nobody who starts after it may stand in its places
            return
        left = [g for g in gangs if not g.is_stopping and g.job_id not in stops and (g.ends or inf) > at]
        free = {node.id: node.amount for node in unheld(NODES, left)}
        job, workers = reservation.job, sum(reservation.placement.values())
        rooms = Rooms(NODES, left)
        for id, count in reservation.placement.items():
            each = Amount(job.cpus_per_worker, self.gpus(job, workers))
            assert min(free[id].plus(each, -count)) >= -1e-6, (id, reservation)
        assert rooms.room(job, Amount(job.cpus_per_worker, self.gpus(job, workers))) >= workers

    def gpus(self, job: Queued, workers: int) -> float:
        return (1.0 if workers <= 10 else 0.0) if job.gpus_per_worker == "auto" else float(job.gpus_per_worker)

    def stops_help(self, plan: Plan, before: list[Held]) -> None:
        stops = [stop for stop in plan.stops if stop.kind != "grow"]
        if not stops:
            return
        assert self.policy.preemption
        assert plan.reservation is not None
        head = plan.reservation.job
        ids = {stop.job_id for stop in stops}
        ledger = Ledger(self.policy, before, {}, total(NODES))
        for gang in before:
            if gang.job_id in ids:
                assert not gang.is_stopping
                assert gang.priority < head.priority or (gang.queue != head.queue and _has_guarantee(gang.queue))
                assert self.now - gang.started >= self.policy.protected
        assert ledger
        started = [self.gang(self.queued[s.job_id], s) for s in plan.starts if s.job_id not in self._after(plan)]
        workers = head.sizes[-1]
        each = Amount(head.cpus_per_worker, self.gpus(head, workers))
        without = [gang for gang in before if not gang.is_stopping and gang.job_id not in ids]
        assert Rooms(NODES, without + started).room(head, each) >= workers, "with all of them gone it fits"
        kept = [gang for gang in before if not gang.is_stopping]
        assert Rooms(NODES, kept + started).room(head, each) < workers, "without a stop it does not"

    def _after(self, plan: Plan) -> set[str]:
        """Those that started behind the reservation: they never stand in its places."""
        assert plan.reservation is not None
        head = self.queued[plan.reservation.job.job_id]
        return {s.job_id for s in plan.starts if (self.queued[s.job_id].priority < head.priority)}

    def teardown(self) -> None:
        """No new jobs, and what runs ends, one by one: everybody's turn comes."""
        if not hasattr(self, "queued"):
            return
        for _ in range(4 * len(self.asked) + 20):
            self.stopped_ones_come_back()
            self.apply(decide(self.snapshot()))
            self.now += 100
            for id in sorted(self.held)[:1]:
                if not self.held[id].is_stopping:
                    del self.held[id]
        ledger = Ledger(self.policy, (), {}, total(NODES))
        left = [job for job in self.queued.values() if shortage(job, NODES) is None]
        assert not [job for job in left if ledger.never(job, self._least(job)) is None]

    def _least(self, job: Queued) -> Amount:
        return Amount(job.cpus_per_worker, self.gpus(job, job.sizes[-1])).times(job.sizes[-1])


def _has_guarantee(queue: str) -> bool:
    return QUEUES[queue].gpus is not None


def ids(plan: Plan) -> Iterable[str]:
    return [start.job_id for start in plan.starts]


TestAnyHistory = AnyHistory.TestCase
TestAnyHistory.settings = settings(
    max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
