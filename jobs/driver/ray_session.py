"""Join the Ray cluster that runs this driver."""

import os

from jobs.driver import sigterm
from jobs.driver.orchestrator_client import OrchestratorClient


def join(client: OrchestratorClient) -> None:
    """Connect, then take SIGTERM back: ray.init() sets a handler of its own."""
    import ray

    # Ray Train's own actors look the cluster up by address when they end; without one they would take whichever
    # Ray this machine started last, and wait for it for as long as a dead one does not answer.
    env = {"RAY_ADDRESS": os.environ["RAY_ADDRESS"]} if "RAY_ADDRESS" in os.environ else {}
    env["RAY_TRAIN_ENABLE_PREEMPTION_WATCHER"] = "0"  # a lost node ends the attempt, watched or not
    # The workers take our names as this process did: before they look for anything in our packages.
    runtime_env = {"env_vars": env, "worker_process_setup_hook": "ganworks_launcher.begin"}
    ray.init(log_to_driver=True, runtime_env=runtime_env)
    sigterm.tell(client)
