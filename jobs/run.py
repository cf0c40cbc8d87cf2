"""Entry point of every Ray job: claim the attempt, dispatch on the job's kind, tell how it ended."""

import os
import shutil
import signal
import sys
import traceback
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from jobs.driver import orchestrator_client
from jobs.driver.failures import named
from jobs.driver.orchestrator_client import Claim, ClaimRefused, OrchestratorClient, Stale
from jobs.driver.tail import Tail, Tee


def main() -> int:
    url, attempt = os.environ["GANWORKS_URL"], os.environ["GANWORKS_ATTEMPT"]
    try:
        claim = orchestrator_client.claim(url, attempt, os.environ.pop("GANWORKS_CLAIM"))
    except ClaimRefused as refused:
        print(f"leaving: {refused}", flush=True)
        return 0
    tail = Tail()
    sys.stdout, sys.stderr = Tee(sys.stdout, tail), Tee(sys.stderr, tail)
    client = OrchestratorClient(url, attempt, claim.token, heartbeat_seconds=claim.heartbeat_seconds)
    home = Path(os.environ.get("GANWORKS_HOME") or Path.home() / ".ganworks")
    _remove_earlier(home / "attempts", claim)
    try:
        return _run(claim, client, home, tail)
    except Stale as stale:
        print(f"leaving: {stale}", flush=True)
        return 0
    finally:
        client.close()
        shutil.rmtree(home / "attempts" / attempt, ignore_errors=True)


def _remove_earlier(workspaces: Path, claim: Claim) -> None:
    """What earlier attempts left on this machine when they were killed."""
    for number in range(1, claim.number):
        shutil.rmtree(workspaces / f"{claim.job_id}-{number}", ignore_errors=True)


def _run(claim: Claim, client: OrchestratorClient, home: Path, tail: Tail) -> int:
    print(f"attempt {claim.number} of {claim.kind} job {claim.job_name} ({claim.job_id})", flush=True)
    try:
        _connect(client)
        outcome, data = _work(claim, client, home)
    except Stale:
        raise
    except (Exception, SystemExit) as error:
        traceback.print_exc()
        failed = named(error)
        log = f"{failed.log}\n{tail.text}"
        client.result("failed", failure=failed.failure, message=failed.message, exit_code=failed.exit_code, log=log)
        return failed.exit_code or 1
    client.result(outcome, data=data)
    return 0


def _work(claim: Claim, client: OrchestratorClient, home: Path) -> tuple[str, dict[str, Any]]:
    if claim.kind == "train":
        from jobs import train

        return train.run(claim, client, home)
    from jobs import generate

    return generate.run(claim, client, home)


def _connect(client: OrchestratorClient) -> None:
    """Join the cluster, then take SIGTERM back: ray.init() sets a handler of its own."""
    import ray

    # Ray Train's own actors look the cluster up by address when they end; without one they would take whichever
    # Ray this machine started last, and wait for it for as long as a dead one does not answer.
    env = {"RAY_ADDRESS": os.environ["RAY_ADDRESS"]} if "RAY_ADDRESS" in os.environ else {}
    env["RAY_TRAIN_ENABLE_PREEMPTION_WATCHER"] = "0"  # a lost node ends the attempt, watched or not
    ray.init(log_to_driver=True, runtime_env={"env_vars": env})

    def stopped(number: int, frame: FrameType | None) -> NoReturn:
        client.result("stopped", message="stopped through Ray")
        os._exit(0)

    signal.signal(signal.SIGTERM, stopped)


if __name__ == "__main__":
    sys.exit(main())
