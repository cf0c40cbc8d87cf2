"""Where and in which precision a process computes, and that it does so repeatably."""

from contextlib import AbstractContextManager, nullcontext
from typing import Literal, get_args

import torch

Precision = Literal["auto", "fp32", "bf16", "fp64"]
PRECISIONS = get_args(Precision)


def prepare(device: str, threads: int) -> torch.device:
    """Set the process up; ValueError if there is no such device."""
    torch.set_num_threads(threads)
    if device == "cpu":
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise ValueError(f"device is {device!r}, and this process sees no GPU; known devices: cpu, cuda")
    # A resume is exact only if the same kernels run again.
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
    return torch.device("cuda", torch.cuda.current_device())


def uses_bf16(precision: str, device: torch.device) -> bool:
    """Take auto as bf16 on a GPU that has it. A CPU must be asked to: without native bf16 it is 20 times slower."""
    if precision == "auto":
        return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return precision == "bf16"


def dtype_of(precision: str) -> torch.dtype:
    """Return the type of weights and samples; bf16 is autocast over float32 weights."""
    return torch.float64 if precision == "fp64" else torch.float32


def autocast(precision: str, device: torch.device) -> AbstractContextManager:
    if not uses_bf16(precision, device):
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)
