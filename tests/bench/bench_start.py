"""From submission to the first training step: a ganworks job, a bare TorchTrainer on the same Ray, and `import torch`.

python -m tests.bench.bench_start [--rounds 3]
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from orchestrator.cli.client import Client
from orchestrator.local import Stack
from orchestrator.local.ray_head import environment

BARE = """
import sys, time, tempfile, ray
from ray.train import ScalingConfig, RunConfig
from ray.train.torch import TorchTrainer

def train():
    import torch
    model = torch.nn.Linear(4, 4)
    model(torch.zeros(1, 4)).sum().backward()
    return time.time()

ray.init(address=sys.argv[1], log_to_driver=False, logging_level="ERROR")
trainer = TorchTrainer(train, scaling_config=ScalingConfig(num_workers=2), run_config=RunConfig(storage_path=tempfile.mkdtemp()))
print("first step", trainer.fit().return_value)
"""


def import_torch() -> float:
    begun = time.time()
    subprocess.run([sys.executable, "-c", "import torch"], check=True)
    return time.time() - begun


def bare_trainer(stack: Stack) -> float:
    assert stack.record
    begun = time.time()
    env = environment(stack.home, stack.record.stack)
    address = f"127.0.0.1:{stack.record.ray_ports['port']}"
    done = subprocess.run([sys.executable, "-c", BARE, address], env=env, capture_output=True, text=True, check=True)
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("first step")]
    return float(line.split()[-1]) - begun


def ganworks_job(client: Client, number: int) -> float:
    spec = {
        "kind": "train",
        "name": f"start-{number}",
        "model": {"family": "dcgan", "params": {"base_channels": 8}},
        "data": {"source": "shapes", "resolution": 16},
        "train": {"examples": 640, "batch_size": 64},
        "resources": {"workers": 2},
    }
    begun = time.time()
    (job,) = client.submit([spec], key=None)["jobs"]
    first = None
    while True:
        found = client.get(f"/jobs/{job['id']}")
        if first is None and (found["tick"] or {}).get("examples"):
            first = time.time() - begun
        if found["status"] in ("SUCCEEDED", "FAILED", "CANCELLED"):
            assert first, found["reason"]
            return first
        time.sleep(0.05)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        stack = Stack(Path(folder) / "home")
        stack.start()
        try:
            client = Client(stack.url, stack.token)
            rounds = [(import_torch(), bare_trainer(stack), ganworks_job(client, n)) for n in range(options.rounds)]
        finally:
            stack.stop()
    torch_, bare, ours = (statistics.median(column) for column in zip(*rounds, strict=True))
    print(
        f"import torch {torch_:.1f} s; bare TorchTrainer to its first step {bare:.1f} s; ganworks, submit to first tick {ours:.1f} s"
    )
    print(
        f"ganworks / bare TorchTrainer: {ours / bare:.2f}; ganworks / import torch: {ours / torch_:.1f}  (medians of {options.rounds})"
    )


if __name__ == "__main__":
    main()
