"""`run`, `up`, `down`: the embedded stack, a Ray head and a server, started and ended by pid."""

from orchestrator.local.record import Record
from orchestrator.local.stack import Stack, StackError

__all__ = ["Record", "Stack", "StackError"]
