"""Any picture to the wanted size and number of channels.

The rule: a picture smaller than the resolution by at most a quarter is padded with zeros (28 -> 32 keeps every pixel
as it was); any other is cropped to its central square and resampled (Lanczos, antialiased).
"""

import numpy as np
from PIL import Image

PAD_FROM = 0.75  # share of the resolution from which a picture is padded instead of resampled


def fit(picture: np.ndarray, resolution: int) -> np.ndarray:
    """Fit [height, width, channels] of uint8 or float32 -> [resolution, resolution, channels] of the same type."""
    height, width = picture.shape[:2]
    if height == width == resolution:
        return picture
    if max(height, width) <= resolution and min(height, width) >= PAD_FROM * resolution:
        return _pad(picture, resolution)
    return _resample(_central_square(picture), resolution)


def with_channels(picture: np.ndarray, channels: int) -> np.ndarray:
    """Grey to RGB by repeating, RGB to grey by luma (ITU-R 601); ValueError for any other pair."""
    have = picture.shape[2]
    if have == channels:
        return picture
    if (have, channels) == (1, 3):
        return np.repeat(picture, 3, axis=2)
    if (have, channels) == (3, 1):
        return _luma(picture)
    raise ValueError(f"cannot turn {have} channels into {channels}; known are 1 -> 3 and 3 -> 1")


def _luma(picture: np.ndarray) -> np.ndarray:
    grey = picture.astype(np.float64) @ np.array([0.299, 0.587, 0.114])
    return _as(grey[:, :, None], picture.dtype)


def _pad(picture: np.ndarray, resolution: int) -> np.ndarray:
    empty = 0 if picture.dtype == np.uint8 else -1  # black either way
    padded = np.full((resolution, resolution, picture.shape[2]), empty, picture.dtype)
    top, left = ((resolution - n) // 2 for n in picture.shape[:2])
    padded[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    return padded


def _central_square(picture: np.ndarray) -> np.ndarray:
    side = min(picture.shape[:2])
    top, left = ((n - side) // 2 for n in picture.shape[:2])
    return picture[top : top + side, left : left + side]


def _resample(picture: np.ndarray, resolution: int) -> np.ndarray:
    planes = [_resample_plane(picture[:, :, c], resolution) for c in range(picture.shape[2])]
    return np.stack(planes, axis=2)


def _resample_plane(plane: np.ndarray, resolution: int) -> np.ndarray:
    image = Image.fromarray(np.ascontiguousarray(plane))
    resized = np.asarray(image.resize((resolution, resolution), Image.Resampling.LANCZOS))
    return resized if plane.dtype == np.uint8 else np.clip(resized, -1, 1)


def _as(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    return values.round().astype(dtype) if dtype == np.uint8 else values.astype(dtype)
