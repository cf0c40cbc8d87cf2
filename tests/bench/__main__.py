"""`make bench`: every benchmark, each a ratio measured in one run. Nothing else should run beside it."""

import os
import platform
import subprocess
import sys
import time

BENCHES = {
    "bench_engine": "the engine's step beside bare loops over the same networks, in one process group",
    "bench_job": "a ganworks job on Ray beside the same bare loop",
    "bench_start": "submit to first step, beside a bare TorchTrainer's and beside `import torch`",
    "bench_ranks": "two ranks over twice one rank",
    "bench_upkeep": "a checkpoint's stall, a tick and the loader, beside what they cannot do without",
    "bench_packing": "pictures packed over all cores, beside Pillow in a loop and `datasets`' imagefolder",
    "bench_penalty": "a gradient penalty beside the same with torch's own second derivative of convolutions",
    "bench_mimicry": "the engine's step beside torch-mimicry's, on its own networks",
    "bench_server": "the API's CPU time with 10,000 finished jobs, and 200 clients at once: no ratio, so say what else ran",
    "simulate": "a month of 100,000 jobs on 10,000 GPUs: the plan beside plain FIFO, and the time of one plan",
}


def main() -> int:
    print(
        f"{time.strftime('%Y-%m-%d')}  {platform.machine()}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}",
        flush=True,
    )
    failed = 0
    for name in sys.argv[1:] or BENCHES:
        print(f"\n== {name}: {BENCHES.get(name, '')}", flush=True)
        failed |= subprocess.run([sys.executable, "-m", f"tests.bench.{name}"]).returncode
    return failed


if __name__ == "__main__":
    sys.exit(main())
