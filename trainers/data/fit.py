"""Any picture to the wanted size and number of channels.

The rule: a picture smaller than the resolution by at most a quarter is padded with zeros (28 -> 32 keeps every pixel
as it was); any other is cropped to its central square and resampled (Lanczos, antialiased).
A user may ask for one way for all: crop; pad, which keeps the whole picture and puts black around it; or stretch.
"""

from typing import Literal, get_args

import numpy as np
from PIL import Image

PAD_FROM = 0.75  # share of the resolution from which a picture is padded instead of resampled


Way = Literal["crop", "pad", "stretch"]
WAYS: tuple[str, ...] = get_args(Way)


def fit(picture: np.ndarray, resolution: int, way: Way | None = None) -> np.ndarray:
    """Fit [height, width, channels] of uint8 or float32 -> [resolution, resolution, channels] of the same type.

    way: None is the rule above.
    """
    match fitting(picture, resolution, way):
        case "kept":
            return picture
        case "padded":
            return _pad(_resample(picture, *_within(picture, resolution)), resolution)
        case "stretched":
            return _resample(picture, resolution, resolution)
        case _:
            return _resample(_central_square(picture), resolution, resolution)


def fitting(picture: np.ndarray, resolution: int, way: Way | None = None) -> str:
    """Return what `fit` does to a picture: kept, padded, cropped (a square one: resampled, nothing lost) or stretched."""
    height, width = picture.shape[:2]
    if height == width == resolution:
        return "kept"
    if way is None:
        return "padded" if _is_little_smaller(height, width, resolution) else "cropped"
    return {"crop": "cropped", "pad": "padded", "stretch": "stretched"}[way]


def _is_little_smaller(height: int, width: int, resolution: int) -> bool:
    return max(height, width) <= resolution and min(height, width) >= PAD_FROM * resolution


def _within(picture: np.ndarray, resolution: int) -> tuple[int, int]:
    """Return height and width that fill the square one way; a picture that is only a little smaller keeps its own."""
    height, width = picture.shape[:2]
    if _is_little_smaller(height, width, resolution):
        return height, width
    longest = max(height, width)
    return max(1, round(height * resolution / longest)), max(1, round(width * resolution / longest))


def with_channels(picture: np.ndarray, channels: int) -> np.ndarray:
    """Turn grey to RGB by repeating, RGB to grey by luma (ITU-R 601); ValueError for any other pair."""
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


def _resample(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    if picture.shape[:2] == (height, width):
        return picture
    planes = [_resample_plane(picture[:, :, c], height, width) for c in range(picture.shape[2])]
    return np.stack(planes, axis=2)


def _resample_plane(plane: np.ndarray, height: int, width: int) -> np.ndarray:
    image = Image.fromarray(np.ascontiguousarray(plane))
    resized = np.asarray(image.resize((width, height), Image.Resampling.LANCZOS))
    return resized if plane.dtype == np.uint8 else np.clip(resized, -1, 1)


def _as(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    return values.round().astype(dtype) if dtype == np.uint8 else values.astype(dtype)
