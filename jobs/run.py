"""Entry point of every Ray job: claim the attempt, run the driver of the job's kind, tell how it ended."""

import os
import shutil
import sys
import traceback
from pathlib import Path

from jobs import kinds
from jobs.driver import orchestrator_client, sigterm
from jobs.driver.failures import named
from jobs.driver.orchestrator_client import ClaimRefused, OrchestratorClient, Stale
from jobs.driver.tail import Tail, Tee
from jobs.wire import Claim


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
    """Remove what earlier attempts left on this machine when they were killed."""
    for number in range(1, claim.number):
        shutil.rmtree(workspaces / f"{claim.job_id}-{number}", ignore_errors=True)


def _run(claim: Claim, client: OrchestratorClient, home: Path, tail: Tail) -> int:
    print(f"attempt {claim.number} of {claim.kind} job {claim.job_name} ({claim.job_id})", flush=True)
    sigterm.tell(client)
    try:
        result = kinds.of(claim.spec).load_driver().run(claim, client, home)
    except Stale:
        raise
    except (Exception, SystemExit) as error:
        traceback.print_exc()
        failed = named(error)
        client.result(failed.result(f"{failed.log}\n{tail.text}"))
        return failed.exit_code or 1
    client.result(result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
