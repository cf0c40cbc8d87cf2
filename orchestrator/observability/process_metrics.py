"""What this process measures of itself; what it knows of jobs is read from the database by metrics.py."""

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics

disable_created_metrics()  # a second series for each, which nobody reads
FAST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)  # seconds


class ProcessMetrics:
    """A registry of its own: two servers in one test process share nothing."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.plan_seconds = Histogram(
            "ganworks_plan_duration_seconds", "Time to make one plan", buckets=FAST, registry=self.registry
        )
        self.http_seconds = Histogram(
            "ganworks_http_request_duration_seconds",
            "Time to answer a request",
            ["method", "route", "code"],
            buckets=FAST,
            registry=self.registry,
        )
        self.store_seconds = Histogram(
            "ganworks_store_request_duration_seconds",
            "Time of a request of this server to the object store",
            ["operation"],
            buckets=FAST,
            registry=self.registry,
        )
        self.store_errors = Counter(
            "ganworks_store_errors_total",
            "Requests of this server to the object store that failed",
            ["operation", "reason"],
            registry=self.registry,
        )
