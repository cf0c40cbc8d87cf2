"""The gateway to Ray, and its in-memory twin for tests."""

from orchestrator.cluster.protocol import Cluster, Refused, Unreachable

__all__ = ["Cluster", "Refused", "Unreachable"]
