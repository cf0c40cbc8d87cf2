"""The driver of an echo job; run as a program, it is what `python -m jobs.run` is once the kind is known."""

import sys
import time
from pathlib import Path

from jobs import kinds, wire
from jobs import run as entry_point
from jobs.driver.orchestrator_client import OrchestratorClient
from tests.support.echo_kind import ECHO, EchoJob, EchoSummary, EchoTick


def run(claim: wire.Claim, client: OrchestratorClient, home: Path) -> wire.Result:
    spec = claim.spec
    assert isinstance(spec, EchoJob)
    client.tick(wire.Preparing(progress=wire.Progress(label="taking a breath", done=1, total=1)))
    for n in range(1, spec.times + 1):
        print(spec.text, flush=True)
        client.tick(EchoTick(words=n, total_words=spec.times, words_per_second=2.0))
    while spec.until and not Path(spec.until).exists():
        if client.command != wire.Command.CONTINUE:
            return wire.result("cancelled" if client.command == wire.Command.CANCEL else "stopped")
        time.sleep(0.05)
    return wire.result("succeeded", EchoSummary(words=spec.times))


if __name__ == "__main__":
    kinds.register(ECHO)
    sys.exit(entry_point.main())
