"""One encoded picture to an array, as people have pictures.

What is read: 1-bit, grey, RGB, palette, 16-bit grey (scaled to 8 bits, not clipped), CMYK, YCbCr, Lab; turned by
its EXIF orientation; transparency is laid on white. A palette of greys is a grey picture.
What is refused, with the reason: cut-off files, several frames, 32-bit and floating-point pixels (they have no
agreed range), pictures large enough to be a decompression bomb.
"""

import io
import warnings
from contextlib import suppress

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

WIDE = ("I;16", "I;16L", "I;16B", "I;16N")
NUMPY = b"\x93NUMPY"
HEIC = (b"heic", b"heix", b"hevc", b"mif1", b"msf1", b"heim")
WITH_ALPHA = ("RGBA", "RGBa", "LA", "La", "PA")


with suppress(ImportError):  # phones' pictures, where the library is there
    import pillow_heif

    pillow_heif.register_heif_opener()


class UnreadableImage(ValueError):
    """The reason why one picture cannot be used."""


def decode(data: bytes, at_least: int | None = None) -> np.ndarray:
    """Return uint8 [height, width, 1 or 3]; UnreadableImage with the reason.

    at_least: pixels a side that are needed; a JPEG that has twice as many or more is decoded at a half, a quarter or an
    eighth of its size, which its coding gives for a fraction of the time.
    """
    try:
        if data.startswith(NUMPY):
            return _of_numpy(data)
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            return _to_array(_opened(data, at_least))
    except UnreadableImage:
        raise
    except UnidentifiedImageError:
        raise UnreadableImage(_what_it_is(data)) from None
    except Exception as error:  # Pillow's plug-ins raise whatever they meet: OSError, SyntaxError, struct.error …
        raise UnreadableImage(str(error) or type(error).__name__) from None


def _what_it_is(data: bytes) -> str:
    """Say what stands in the place of a picture: what failed downloads leave."""
    start = data[:200].lstrip().lower()
    if not data:
        return "is empty"
    if start.startswith(b"version https://git-lfs"):
        return "is a pointer of Git LFS, and the picture is not there; `git lfs pull` fetches it"
    if start.startswith((b"<!doctype html", b"<html")):
        return "is a page of HTML, as a server sends in place of a picture that it does not have; fetch it again"
    if data[4:8] == b"ftyp" and data[8:12] in HEIC:
        return "is a HEIC picture; `pip install pillow-heif` where it is packed, or save it as JPEG or PNG"
    return "cannot identify image file"


def _of_numpy(data: bytes) -> np.ndarray:
    """Return a picture that was saved with np.save. Of floats a single one does not tell the range."""
    pixels = np.load(io.BytesIO(data), allow_pickle=False)
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    if pixels.ndim != 3 or pixels.shape[2] not in (1, 3):
        raise UnreadableImage(f"is an array of shape {pixels.shape}; wanted [height, width] or with 1 or 3 channels")
    if pixels.dtype not in (np.uint8, np.uint16):
        raise UnreadableImage(
            f"has {pixels.dtype} pixels; of single arrays uint8 and uint16 are read, or stack them as one"
        )
    return pixels if pixels.dtype == np.uint8 else wide_to_bytes(pixels)


def _opened(data: bytes, at_least: int | None) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != "MPO":  # phones put a preview beside the picture (MPO)
        raise UnreadableImage(f"has {frames} frames; save the wanted one as a picture of its own")
    if at_least and image.format == "JPEG":
        image.draft(None, (at_least, at_least))  # None keeps the mode
    image.load()
    return ImageOps.exif_transpose(image)


def _to_array(image: Image.Image) -> np.ndarray:
    if image.mode in WIDE or image.mode == "I":
        return _from_wide(np.asarray(image))
    if image.mode == "F":
        raise UnreadableImage("has floating-point pixels, which have no agreed range; pack them as .npz")
    if image.mode in WITH_ALPHA or "transparency" in image.info:
        image = _on_white(image)
    if image.mode == "P":
        image = image.convert("RGB")
        return _without_equal_channels(np.asarray(image))
    if image.mode not in ("L", "RGB"):
        image = image.convert("L" if image.mode == "1" else "RGB")
    return np.asarray(image).reshape(image.height, image.width, -1)


def _from_wide(pixels: np.ndarray) -> np.ndarray:
    """Turn 16 bits into 8: 65535 becomes 255."""
    if pixels.min() < 0 or pixels.max() > 65535:
        raise UnreadableImage("has 32-bit pixels, which have no agreed range; pack them as .npz")
    return wide_to_bytes(pixels)[:, :, None]


def wide_to_bytes(pixels: np.ndarray) -> np.ndarray:
    """Turn 0..65535 into 0..255, rounded to the nearest."""
    return ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _on_white(image: Image.Image) -> Image.Image:
    grey = image.mode in ("L", "LA", "La", "1")
    image = image.convert("RGBA")
    white = Image.new("RGBA", image.size, (255, 255, 255, 255))
    flat = Image.alpha_composite(white, image).convert("RGB")
    return flat.getchannel(0) if grey else flat


def _without_equal_channels(pixels: np.ndarray) -> np.ndarray:
    equal = (pixels[:, :, 0] == pixels[:, :, 1]).all() and (pixels[:, :, 1] == pixels[:, :, 2]).all()
    return pixels[:, :, :1] if equal else pixels
