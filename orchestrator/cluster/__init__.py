"""The gateway to Ray, and its in-memory twin for tests."""

from orchestrator.cluster.protocol import Cluster, LogPart, Refused, Unreachable

__all__ = ["Cluster", "LogPart", "Refused", "Unreachable"]
