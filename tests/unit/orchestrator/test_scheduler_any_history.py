"""Whatever comes, in whatever order: what a plan must never do, and that everybody's turn comes."""

import os
import random
from dataclasses import replace
from importlib import import_module
from math import inf
from typing import Any

import pytest
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
    backfill,
    decide,
    order,
    preemption,
    shortage,
    total,
    unheld,
)
from orchestrator.scheduler.capacity import Capacity

plan_module: Any = import_module("orchestrator.scheduler.plan")
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


def any_job(chance: random.Random) -> Queued:
    """Few kinds, so that they get in each other's way."""
    most = chance.choice((1, 1, 2, 3, 4, 8))
    return Queued(
        job_id=f"{chance.getrandbits(40):010x}",
        name=chance.choice("pqrst"),
        priority=chance.choice((10, 50, 90)),
        submitted=0.0,
        sizes=tuple(range(most, 0, -1)) if chance.random() < 0.2 else (most,),
        cpus_per_worker=chance.choice((0.5, 1.0, 4.0)),
        gpus_per_worker=chance.choice((0.0, 1.0, 1.0, 2.0)),
        accelerator=chance.choice((None, None, None, "A100")),
        queue=chance.choice(("default", "default", "research", "batch")),
        owner=chance.choice(("ada", "grace")),
        longest=chance.choice((None, 30.0, 100.0, 500.0)),
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

    @rule(seed=st.integers(0, 1 << 32))
    def a_busy_day(self, seed: int) -> None:
        """Many at once on a full cluster: rare in single rules, and where mistakes are."""
        chance = random.Random(seed)
        for _ in range(12):
            for _ in range(chance.randrange(4)):
                self.submit(any_job(chance))
            chance.choice((self.one_ends, self.one_is_lost_and_still_holds, self.one_ends))(pick=chance.randrange(100))
            self.time_goes_by(seconds=chance.choice((1.0, 20.0, 60.0)))
            if chance.random() < 0.5:
                self.stopped_ones_come_back()
            self.step(order=chance)

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
        """The reserved places are free at their moment, whoever started behind; and that is the moment at which the
        head could start at the earliest if nobody did."""
        reservation = plan.reservation
        if reservation is None:
            return
        stops = {stop.job_id for stop in plan.stops if stop.sake in (*plan.ahead, reservation.job.job_id)}
        gangs = [self.gang(self.queued[start.job_id], start) for start in plan.starts] + plan.set_aside
        ahead = [gang for gang in gangs if gang.job_id in plan.ahead]
        behind = [gang for gang in gangs if gang.job_id not in plan.ahead]
        there = [gang for gang in before + ahead if not gang.is_stopping and gang.job_id not in stops]
        job, workers = reservation.job, reservation.job.sizes[-1]
        each = Amount(job.cpus_per_worker, self.gpus(job, workers))
        ends = sorted(there, key=lambda gang: (gang.ends or inf, gang.started, gang.job_id))
        for n in range(len(ends) + 1):  # the first so many have ended
            at, left = (ends[n - 1].ends or inf) if n else self.now, ends[n:]
            late = [gang for gang in behind if gang.ends is None or gang.ends > at or at == inf]
            if Capacity(NODES, left).room(job, each) >= workers:
                break
        else:
            raise AssertionError("it was refused as too large before")
        free = {node.id: node.amount for node in unheld(NODES, left + late)}
        for id, count in reservation.placement.items():
            assert min(free[id].plus(each, -count)) >= -1e-6, "somebody stands in the places of the head"
        ledger = Ledger(self.policy, left + late, {}, total(NODES))
        assert ledger.refusal(job, each.times(workers)) is None, "somebody has the quota of the head"

    def gpus(self, job: Queued, workers: int) -> float:
        return (1.0 if workers <= 10 else 0.0) if job.gpus_per_worker == "auto" else float(job.gpus_per_worker)

    def stops_help(self, plan: Plan, before: list[Held]) -> None:
        gangs, stops = {gang.job_id: gang for gang in before}, [stop for stop in plan.stops if stop.kind != "grow"]
        assert not stops or self.policy.preemption
        assert len({stop.job_id for stop in stops}) == len(stops)
        for stop in stops:
            gang, job = gangs[stop.job_id], self.queued[stop.sake or ""]
            assert not gang.is_stopping
            assert self.now - gang.started >= self.policy.protected
            assert gang.priority < job.priority or (gang.queue != job.queue and _has_guarantee(gang.queue))
        started = [self.gang(self.queued[start.job_id], start) for start in plan.starts]
        kept = [gang for gang in before if not gang.is_stopping] + started
        for sake in {stop.sake: None for stop in stops}:
            mine = [stop for stop in stops if stop.sake == sake]
            others = {stop.job_id for stop in stops if stop.sake != sake}
            job, ids = self.queued[sake or ""], {stop.job_id for stop in mine}
            without = [gang for gang in kept if gang.job_id not in ids | others]
            assert self.has_room_and_quota(job, without), "with all of them gone it can start"
            first = [gang.job_id for gang in plan.set_aside if gang.job_id in plan.ahead or not plan.reservation]
            if sake != (first[0] if first else plan.reservation and plan.reservation.job.job_id):
                continue  # what the first was promised is not free for the second
            if any(stop.kind == "shrink" for stop in mine):  # comes back smaller
                assert not self.has_room_and_quota(job, kept), "it could already"
                continue
            for spared in ids:
                rest = [gang for gang in kept if gang.job_id == spared or gang.job_id not in ids]
                assert not self.has_room_and_quota(job, rest), "a useless stop"

    def has_room_and_quota(self, job: Queued, held: list[Held]) -> bool:
        workers = job.sizes[-1]
        each = Amount(job.cpus_per_worker, self.gpus(job, workers))
        ledger = Ledger(self.policy, held, {}, total(NODES))
        return Capacity(NODES, held).room(job, each) >= workers and ledger.refusal(job, each.times(workers)) is None

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


TestAnyHistory = AnyHistory.TestCase
TestAnyHistory.settings = settings(
    max_examples=int(os.environ.get("GANWORKS_HISTORIES", 10)),
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


_place = Capacity.place


def _all_room_is_free(capacity: Capacity, *asked: Any) -> dict[str, int] | None:
    return _place(Capacity(NODES), *asked)


def _without_the_stopping(nodes: list[Node], held: Any = ()) -> Capacity:
    return Capacity(nodes, [gang for gang in held if not gang.is_stopping])


def _the_first_that_make_room(without: Any, order: Any) -> list[Any]:
    chosen = []
    for victim in order:
        if not without.serves() and without.may_stop(victim.gang):
            without.change(victim, +1)
            chosen.append(victim)
    return chosen if without.serves() else []


def _one_too_few(capacity: Capacity, groups: Any, workers: int) -> dict[str, int]:
    return {groups[0][1][0]: min(workers, groups[0][0])}


def _by_chance(capacity: Capacity, states: Any) -> list[tuple[int, list[str]]]:
    found = [(room, capacity.groups[state]) for room, state in states]
    random.SystemRandom().shuffle(found)
    return found


MUTANTS: dict[str, tuple[Any, str, Any]] = {
    "gives what others hold": (Capacity, "place", _all_room_is_free),
    "gives what a stopping attempt holds": (plan_module, "Capacity", _without_the_stopping),
    "starts part of a gang": (Capacity, "_spread", _one_too_few),
    "forgets quota": (Ledger, "refusal", lambda self, job, more: None),
    "forgets priority": (order.QueueOrder, "_rank", lambda self, queue, priority: (False, 0, 0.0)),
    "lets others stand in the reserved places": (
        backfill.Backfill, "place", lambda self, job, workers, each, now: self.free.place(job, workers, each)
    ),
    "takes everybody to be gone in time": (backfill, "is_gone", lambda longest, at, now: True),
    "gives the spare room twice": (
        backfill.Backfill, "take", lambda self, job, placement, each, now: [self.follow(node) for node in placement]
    ),
    "gives the quota of the head away": (backfill.Promise, "refusal", lambda self, other, more, now: None),
    "stops more than are needed": (preemption, "_enough", _the_first_that_make_room),
    "stops its equals": (preemption._Without, "may_stop", lambda self, gang: gang.priority <= self.job.priority),
    "stops what has just started": (preemption, "protected_until", lambda gang, policy: gang.started),
    "places by chance": (Capacity, "_by_room", _by_chance),
}  # fmt: skip


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_plan_that_were_wrong_would_be_caught(mutant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    busy_days(5)
    where, name, wrong = MUTANTS[mutant]
    monkeypatch.setattr(where, name, wrong)
    with pytest.raises((AssertionError, KeyError)):
        busy_days(200)


def busy_days(most: int) -> None:
    for seed in range(most):
        history = AnyHistory()
        history.begin(preemption=True)
        for n in range(3):
            history.a_busy_day(seed=1000 * seed + n)
