"""Time on a device that computes behind the program's back."""

import time

import torch


def now(device: str) -> float:
    """Seconds of a clock, once the device has done all it was told."""
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()
