"""The plan: pure functions over frozen snapshots. One policy, one file; `plan.py` puts them together."""

from orchestrator.scheduler.backlog import Backlog
from orchestrator.scheduler.capacity import total, unheld
from orchestrator.scheduler.model import (
    AUTO,
    Amount,
    Held,
    Node,
    Policy,
    Preempt,
    Queued,
    QueuePolicy,
    Snapshot,
    Start,
    Wait,
)
from orchestrator.scheduler.plan import Plan, decide, plan
from orchestrator.scheduler.quota import Ledger
from orchestrator.scheduler.reasons import each_of, gpus_for, shortage, whole_gpus

__all__ = [
    "AUTO",
    "Amount",
    "Backlog",
    "Held",
    "Ledger",
    "Node",
    "Plan",
    "Policy",
    "Preempt",
    "QueuePolicy",
    "Queued",
    "Snapshot",
    "Start",
    "Wait",
    "decide",
    "each_of",
    "gpus_for",
    "plan",
    "shortage",
    "total",
    "unheld",
    "whole_gpus",
]
