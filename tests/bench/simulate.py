"""A month of a cluster in minutes: the real plan over a synthetic cluster, on a virtual clock.

    python -m tests.bench.simulate                      # 10,000 GPUs, 100,000 jobs, 30 days
    python -m tests.bench.simulate --jobs 10000 --gpus 1000 --days 3
    python -m tests.bench.simulate --one-plan           # the time of one plan with 100,000 queued

Beside it stands the same load under plain FIFO, and the lower bound: total work over capacity. Priorities only move
waits from one job to another; the same load with all priorities alike shows what the order does by itself.
"""

import argparse
import heapq
import json
import random
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from orchestrator.scheduler import Amount, Backlog, Held, Node, Plan, Policy, Queued, QueuePolicy, Snapshot, decide

DAY = 86400.0
PER_NODE = 8
GRACE = 30.0  # seconds in which a preempted attempt takes its checkpoint
SIZES = ((1, 45), (2, 15), (4, 15), (8, 15), (16, 5), (32, 3), (64, 1.5), (128, 0.5))  # workers of one GPU: weight


@dataclass(frozen=True, kw_only=True)
class Load:
    jobs: Sequence[Queued]
    seconds: dict[str, float]  # how long each runs, whatever the plan knows of it
    nodes: Sequence[Node]
    policy: Policy

    @property
    def gpus(self) -> float:
        return sum(node.gpus for node in self.nodes)

    @property
    def work(self) -> float:
        return sum(job.sizes[0] * self.seconds[job.job_id] for job in self.jobs)

    def offered(self, days: float) -> float:
        """What a cluster without limits would use of this one's time: no scheduler can be busier."""
        until = days * DAY
        work = sum(job.sizes[0] * min(self.seconds[job.job_id], max(until - job.submitted, 0.0)) for job in self.jobs)
        return work / (self.gpus * until)

    @property
    def lower_bound(self) -> float:
        """No scheduler ends sooner: total work over capacity, and each job from its submission on."""
        alone = max(job.submitted + self.seconds[job.job_id] for job in self.jobs)
        return max(self.work / self.gpus, alone)


def load(jobs: int, gpus: int, days: float, seed: int = 0, utilisation: float = 0.95) -> Load:
    """Poisson arrivals with days and nights; sizes by powers of two; run times log-normal, capped at three days."""
    draw = random.Random(seed)
    nodes = [Node(id=f"n{n:05d}", cpus=64, gpus=PER_NODE) for n in range(gpus // PER_NODE)]
    queues = {
        "default": QueuePolicy(),
        "research": QueuePolicy(gpus=gpus * 0.3, borrow_gpus=gpus * 0.3, weight=2),
        "nightly": QueuePolicy(gpus=gpus * 0.2),
    }
    drawn = [_job(draw, n, days, sorted(queues)) for n in range(jobs)]
    sizes, weights = zip(*SIZES, strict=True)
    most = max(1, gpus // 8)
    picked = [min(size, most) for size in draw.choices(sizes, weights, k=jobs)]
    raw = [min(draw.lognormvariate(8.0, 1.4), 3 * DAY) for _ in range(jobs)]
    scale = utilisation * gpus * days * DAY / sum(size * each for size, each in zip(picked, raw, strict=True))
    seconds, asked = {}, []
    for job, size, each in zip(drawn, picked, raw, strict=True):
        seconds[job.job_id] = each * scale
        longest = _timeout(each * scale, draw)
        asked.append(replace(job, sizes=(size,), longest=longest))
    asked.sort(key=lambda job: job.submitted)
    return Load(jobs=asked, seconds=seconds, nodes=nodes, policy=Policy(queues=queues, preemption=True))


def _job(draw: random.Random, n: int, days: float, queues: Sequence[str]) -> Queued:
    at = draw.uniform(0, days * DAY)
    if draw.random() < 0.5:  # half of them by day
        at = at // DAY * DAY + (9 + 9 * draw.random()) * 3600
    # one hog among the users hands in a third of everything
    owner = "hog" if draw.random() < 0.33 else f"user-{draw.randrange(20)}"
    priority = draw.choices((20, 50, 80), (3, 6, 1))[0]
    return Queued(
        job_id=f"j{n:06d}", name=f"j{n:06d}", priority=priority, submitted=min(at, days * DAY), sizes=(1,),
        cpus_per_worker=4, gpus_per_worker=1.0, queue=draw.choice(queues), owner=owner,
    )  # fmt: skip


def _timeout(seconds: float, draw: random.Random) -> float | None:
    """Two in three say a timeout, rounded up as people do; the others nothing."""
    if draw.random() < 0.33:
        return None
    return next((t for t in (3600.0, 4 * 3600.0, 12 * 3600.0, DAY, 3 * DAY) if t >= 1.2 * seconds), 9 * DAY)


@dataclass(kw_only=True)
class Outcome:
    name: str
    waits: dict[str, float] = field(default_factory=dict)
    ends: dict[str, float] = field(default_factory=dict)
    busy: float = 0.0  # GPU-seconds held until the last arrival
    plans: list[float] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)  # jobs, once for each time

    wasted: float = 0.0  # GPU-seconds of stops and restarts

    def waited(self, load: Load) -> dict[str, float]:
        """Seconds before its first attempt and between its attempts, by job."""
        return {job.job_id: self.ends[job.job_id] - job.submitted - load.seconds[job.job_id] for job in load.jobs}

    def report(self, load: Load, days: float) -> dict[str, object]:
        jobs = {job.job_id: job for job in load.jobs}
        waited = self.waited(load)
        plans = sorted(self.plans)

        def hours(wanted: Callable[[Queued], bool]) -> dict[str, float]:
            waits = sorted(wait for id, wait in waited.items() if wanted(jobs[id]))
            return {f"p{p}": round(percentile(waits, p) / 3600, 2) for p in (50, 90, 99)}

        return {
            "scheduler": self.name,
            "jobs_done": len(self.ends),
            "utilisation": round(self.busy / (load.gpus * days * DAY), 4),
            "utilisation_if_nobody_waited": round(load.offered(days), 4),
            "makespan_days": round(max(self.ends.values()) / DAY, 2),
            "lower_bound_days": round(load.lower_bound / DAY, 2),
            "wait_hours_before_and_between_attempts": {
                "mean": round(statistics.fmean(waited.values()) / 3600, 2),
                "all": hours(lambda job: True),
                **{f"priority {p}": hours(lambda job, p=p: job.priority == p) for p in (80, 50, 20)},  # type: ignore[misc]
                "small users": hours(lambda job: job.owner != "hog"),
                "the hog": hours(lambda job: job.owner == "hog"),
            },
            "fairness": round(fairness(jobs, waited, load.seconds), 3),
            "preemptions": len(self.stopped),
            "preempted_jobs": len(set(self.stopped)),
            "wasted_share_of_work": round(self.wasted / load.work, 6),
            "plan_cpu_ms": {"p50": round(1e3 * percentile(plans, 50), 2), "p99": round(1e3 * percentile(plans, 99), 2),
                        "max": round(1e3 * plans[-1], 2), "calls": len(plans)},
        }  # fmt: skip


def fairness(jobs: Mapping[str, Queued], waited: Mapping[str, float], seconds: Mapping[str, float]) -> float:
    """Jain's index over users of their jobs' mean speed, run time over run time and wait: 1 is the same for all."""
    speeds = defaultdict(list)
    for id, wait in waited.items():
        speeds[jobs[id].owner].append(seconds[id] / (seconds[id] + max(wait, 0.0)))
    of_users = [statistics.fmean(each) for each in speeds.values()]
    return sum(of_users) ** 2 / (len(of_users) * sum(speed**2 for speed in of_users))


def percentile(values: Sequence[float], p: float) -> float:
    return values[min(len(values) - 1, int(len(values) * p / 100))] if values else 0.0


def simulate(
    name: str,
    load: Load,
    every: float,
    days: float,
    decides: Callable[[Snapshot, Backlog], Plan] = decide,
    restart: float = 120.0,
) -> Outcome:
    """Arrivals and ends are looked at once every `every` seconds. What is preempted goes on where it was,
    and pays `restart` seconds for it."""
    outcome, backlog = Outcome(name=name), Backlog()
    held: dict[str, Held] = {}
    ends: list[tuple[float, str, int]] = []
    left, asked = dict(load.seconds), {job.job_id: job for job in load.jobs}
    runs: dict[str, int] = defaultdict(int)
    stops: dict[str, int] = defaultdict(int)
    usage: dict[tuple[str, str], float] = defaultdict(float)
    arrivals, now, n = load.jobs, 0.0, 0
    decay = 2 ** (-every / load.policy.half_life)
    while n < len(arrivals) or len(backlog) or held:
        now += every
        changed = False
        while ends and ends[0][0] <= now:
            at, id, run = heapq.heappop(ends)
            if runs[id] == run and id in held:
                gang = held.pop(id)
                changed = True
                if gang.is_stopping:
                    backlog.add(asked[id])
                else:
                    outcome.ends[id] = at
        while n < len(arrivals) and arrivals[n].submitted <= now:
            backlog.add(arrivals[n])
            n, changed = n + 1, True
        for who in usage:
            usage[who] *= decay
        for gang in held.values():
            usage[gang.queue, gang.owner] += gang.workers * (1 - decay)
        if now <= days * DAY:
            outcome.busy += every * sum(gang.workers for gang in held.values())
        if not changed:
            continue
        snapshot = Snapshot(
            held=list(held.values()), nodes=load.nodes, policy=load.policy,
            usage={who: Amount(gpus=used) for who, used in usage.items()}, now=now,
        )  # fmt: skip
        began = time.process_time()
        plan = decides(snapshot, backlog)
        outcome.plans.append(time.process_time() - began)
        for start in plan.starts:
            job = asked[start.job_id]
            backlog.remove(job)
            outcome.waits.setdefault(job.job_id, now - job.submitted)
            runs[job.job_id] += 1
            held[job.job_id] = Held(
                placement=start.placement, cpus_per_worker=start.cpus_per_worker, gpus_per_worker=start.gpus_per_worker,
                job_id=job.job_id, name=job.name, queue=job.queue, owner=job.owner, priority=job.priority, started=now,
                ends=None if job.longest is None else now + job.longest, is_stopping=False, stopped=stops[job.job_id],
            )  # fmt: skip
            heapq.heappush(ends, (now + left[job.job_id], job.job_id, runs[job.job_id]))
        for stop in plan.stops:
            gang = held[stop.job_id]
            outcome.stopped.append(stop.job_id)
            stops[stop.job_id] += 1
            runs[stop.job_id] += 1
            left[stop.job_id] = max(left[stop.job_id] - (now - gang.started), 0.0) + restart
            held[stop.job_id] = replace(gang, is_stopping=True)
            outcome.wasted += (restart + GRACE) * gang.workers
            heapq.heappush(ends, (now + GRACE, stop.job_id, runs[stop.job_id]))
    return outcome


def fifo(snapshot: Snapshot, backlog: Backlog) -> Plan:
    """Plain FIFO to compare with: one queue by time of submission, no quota, no backfill, no preemption."""
    from orchestrator.scheduler import Start
    from orchestrator.scheduler.capacity import Capacity

    free, plan = Capacity(snapshot.nodes, snapshot.held), Plan()
    queue = heapq.merge(*backlog.classes, key=lambda job: (job.submitted, job.job_id))
    for job in queue:
        each = Amount(job.cpus_per_worker, float(job.gpus_per_worker))
        placement = free.place(job, job.sizes[0], each)
        if placement is None:
            break
        free.change(placement, each, -1)
        plan.starts.append(
            Start(
                job_id=job.job_id,
                workers=job.sizes[0],
                cpus_per_worker=each.cpus,
                gpus_per_worker=each.gpus,
                placement=placement,
            )
        )
    return plan


def one_plan(queued: int, gpus: int) -> dict[str, object]:
    """The time of a plan on a full cluster with so many waiting, and with a few nodes just free."""
    made = load(queued + 40_000, gpus, 30)
    outcome_held: list[Held] = []
    first = decide(Snapshot(queued=made.jobs, nodes=made.nodes, policy=made.policy, now=0.0))
    asked = {job.job_id: job for job in made.jobs}
    for start in first.starts:
        job = asked.pop(start.job_id)
        outcome_held.append(
            Held(
                placement=start.placement,
                cpus_per_worker=4,
                gpus_per_worker=1,
                job_id=job.job_id,
                name=job.name,
                queue=job.queue,
                owner=job.owner,
                priority=job.priority,
                started=-3600.0,
                ends=job.longest,
                is_stopping=False,
            )
        )
    backlog = Backlog(list(asked.values())[:queued])
    results = {}
    for name, held in (("full", outcome_held), ("a hundred attempts just ended", outcome_held[100:])):
        snapshot = Snapshot(held=held, nodes=made.nodes, policy=made.policy, now=0.0)
        times = []
        for _ in range(15):
            began = time.process_time()  # the machine may be shared
            plan = decide(snapshot, backlog)
            times.append(time.process_time() - began)
        results[name] = {"median_cpu_ms": round(1e3 * statistics.median(times), 1), "best_cpu_ms": round(1e3 * min(times), 1),
                         "starts": len(plan.starts), "stops": len(plan.stops)}  # fmt: skip
    return {
        "queued": len(backlog),
        "equivalence classes": len(list(backlog.classes)),
        "attempts": len(outcome_held),
        "gpus": gpus,
        **results,
    }


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=100_000)
    parser.add_argument("--gpus", type=int, default=10_000)
    parser.add_argument("--days", type=float, default=30)
    parser.add_argument("--every", type=float, default=300, help="seconds between two plans")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--one-plan", action="store_true", help="only the time of one plan")
    chosen = parser.parse_args(arguments)
    print(json.dumps(one_plan(chosen.jobs, chosen.gpus), indent=2))
    if chosen.one_plan:
        return
    made = load(chosen.jobs, chosen.gpus, chosen.days, chosen.seed)
    alike = replace(made, jobs=[replace(job, priority=50) for job in made.jobs])
    runs = (("fifo", made, fifo), ("ganworks", made, decide), ("ganworks, all priorities alike", alike, decide))
    for name, given, decides in runs:
        began = time.perf_counter()
        outcome = simulate(name, given, chosen.every, chosen.days, decides)
        report = outcome.report(made, chosen.days) | {"seconds": round(time.perf_counter() - began, 1)}
        print(json.dumps(report, indent=2), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
